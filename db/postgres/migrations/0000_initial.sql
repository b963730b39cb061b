CREATE TABLE "password_reset_tokens" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"token_hash" text COLLATE "C" NOT NULL,
	"nonce" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"mail_due_at" timestamp (3) with time zone,
	"epoch" integer NOT NULL,
	"version" integer NOT NULL,
	"pending" boolean DEFAULT false NOT NULL,
	"generation" integer NOT NULL,
	CONSTRAINT "password_reset_tokens_ids_filled" CHECK ("password_reset_tokens"."id" <> '' and "password_reset_tokens"."user_id" <> ''),
	CONSTRAINT "password_reset_tokens_token_hash_hex" CHECK ("password_reset_tokens"."token_hash" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "password_reset_tokens_generation" CHECK ("password_reset_tokens"."generation" >= 0),
	CONSTRAINT "password_reset_tokens_stamp" CHECK ("password_reset_tokens"."epoch" >= 0 and "password_reset_tokens"."version" >= 0)
);
--> statement-breakpoint
CREATE TABLE "rate_limits" (
	"key" text COLLATE "C" PRIMARY KEY NOT NULL,
	"level" double precision NOT NULL,
	"touched_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"generation" integer NOT NULL,
	"token_hash" text COLLATE "C" NOT NULL,
	"previous_token_hash" text COLLATE "C",
	"rotation" integer NOT NULL,
	"key_id" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"rotated_at" timestamp (3) with time zone NOT NULL,
	"idle_expires_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"revoked_at" timestamp (3) with time zone,
	"revoked_reason" text,
	"user_agent" text,
	"epoch" integer NOT NULL,
	"version" integer NOT NULL,
	"pending" boolean DEFAULT false NOT NULL,
	CONSTRAINT "sessions_ids_filled" CHECK ("sessions"."id" <> '' and "sessions"."key_id" <> ''),
	CONSTRAINT "sessions_token_hashes_hex" CHECK ("sessions"."token_hash" ~ '^[0-9a-f]{64}$' and "sessions"."previous_token_hash" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "sessions_revoked_with_reason" CHECK (("sessions"."revoked_at" is null) = ("sessions"."revoked_reason" is null)),
	CONSTRAINT "sessions_revoked_reason_known" CHECK ("sessions"."revoked_reason" in ('logout', 'ended', 'replaced', 'reuse', 'limit', 'operator', 'erased')),
	CONSTRAINT "sessions_counters" CHECK ("sessions"."generation" >= 0 and "sessions"."rotation" >= 0),
	CONSTRAINT "sessions_stamp" CHECK ("sessions"."epoch" >= 0 and "sessions"."version" >= 0)
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"email" text,
	"email_key" text COLLATE "C",
	"name" text NOT NULL,
	"password_hash" text,
	"is_verified" boolean NOT NULL,
	"verified_with" text COLLATE "C",
	"session_generation" integer NOT NULL,
	"reset_generation" integer NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"deleted_at" timestamp (3) with time zone,
	"epoch" integer NOT NULL,
	"version" integer NOT NULL,
	"pending" boolean DEFAULT false NOT NULL,
	CONSTRAINT "users_id_filled" CHECK ("users"."id" <> ''),
	CONSTRAINT "users_email_filled" CHECK ("users"."email" <> '' and "users"."email_key" <> ''),
	CONSTRAINT "users_living_have_email" CHECK (("users"."deleted_at" is null) = ("users"."email" is not null) and ("users"."email" is null) = ("users"."email_key" is null)),
	CONSTRAINT "users_tombstone_is_empty" CHECK ("users"."deleted_at" is null or ("users"."name" = '' and "users"."password_hash" is null)),
	CONSTRAINT "users_verified_with" CHECK ("users"."verified_with" is null or "users"."is_verified"),
	CONSTRAINT "users_generations" CHECK ("users"."session_generation" >= 0 and "users"."reset_generation" >= 0),
	CONSTRAINT "users_stamp" CHECK ("users"."epoch" >= 0 and "users"."version" >= 0)
);
--> statement-breakpoint
CREATE TABLE "verification_tokens" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"token_hash" text COLLATE "C" NOT NULL,
	"nonce" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"mail_due_at" timestamp (3) with time zone,
	"epoch" integer NOT NULL,
	"version" integer NOT NULL,
	"pending" boolean DEFAULT false NOT NULL,
	CONSTRAINT "verification_tokens_ids_filled" CHECK ("verification_tokens"."id" <> '' and "verification_tokens"."user_id" <> ''),
	CONSTRAINT "verification_tokens_token_hash_hex" CHECK ("verification_tokens"."token_hash" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "verification_tokens_stamp" CHECK ("verification_tokens"."epoch" >= 0 and "verification_tokens"."version" >= 0)
);
--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "password_reset_tokens_token_hash" ON "password_reset_tokens" USING btree ("token_hash");--> statement-breakpoint
CREATE INDEX "password_reset_tokens_newest" ON "password_reset_tokens" USING btree ("user_id","generation","created_at","id");--> statement-breakpoint
CREATE INDEX "password_reset_tokens_expires_at" ON "password_reset_tokens" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "password_reset_tokens_mail_due_at" ON "password_reset_tokens" USING btree ("mail_due_at") WHERE "password_reset_tokens"."mail_due_at" is not null;--> statement-breakpoint
CREATE INDEX "password_reset_tokens_pending" ON "password_reset_tokens" USING btree ("id") WHERE "password_reset_tokens"."pending";--> statement-breakpoint
CREATE INDEX "sessions_user_id" ON "sessions" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "sessions_unrevoked" ON "sessions" USING btree ("user_id") WHERE "sessions"."revoked_at" is null;--> statement-breakpoint
CREATE INDEX "sessions_expires_at" ON "sessions" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "sessions_pending" ON "sessions" USING btree ("id") WHERE "sessions"."pending";--> statement-breakpoint
CREATE UNIQUE INDEX "users_email_key_unique" ON "users" USING btree ("email_key");--> statement-breakpoint
CREATE INDEX "users_pending" ON "users" USING btree ("id") WHERE "users"."pending";--> statement-breakpoint
CREATE INDEX "verification_tokens_token_hash" ON "verification_tokens" USING btree ("token_hash");--> statement-breakpoint
CREATE INDEX "verification_tokens_expires_at" ON "verification_tokens" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "verification_tokens_mail_due_at" ON "verification_tokens" USING btree ("mail_due_at") WHERE "verification_tokens"."mail_due_at" is not null;--> statement-breakpoint
CREATE INDEX "verification_tokens_pending" ON "verification_tokens" USING btree ("id") WHERE "verification_tokens"."pending";