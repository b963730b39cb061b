CREATE TABLE "cutover_aside" (
	"seq" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "cutover_aside_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"entity" text NOT NULL,
	"record_id" text COLLATE "C" NOT NULL,
	"epoch" integer NOT NULL,
	"version" integer NOT NULL,
	"reason" text NOT NULL,
	"moved_at" timestamp (3) with time zone NOT NULL,
	"body" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "cutover_control" (
	"id" integer PRIMARY KEY NOT NULL,
	"epoch" integer NOT NULL,
	"revision" integer NOT NULL,
	"body" jsonb NOT NULL,
	CONSTRAINT "cutover_control_one" CHECK ("cutover_control"."id" = 1)
);
--> statement-breakpoint
CREATE TABLE "cutover_leases" (
	"instance" text COLLATE "C" PRIMARY KEY NOT NULL,
	"counter" integer NOT NULL,
	"body" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "cutover_log" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"body" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "cutover_notes" (
	"kind" text COLLATE "C" NOT NULL,
	"key" text COLLATE "C" NOT NULL,
	"body" jsonb NOT NULL,
	"first_at" timestamp (3) with time zone NOT NULL,
	"last_at" timestamp (3) with time zone NOT NULL,
	"times" integer NOT NULL,
	CONSTRAINT "cutover_notes_kind_key_pk" PRIMARY KEY("kind","key")
);
--> statement-breakpoint
DROP INDEX "password_reset_tokens_pending";--> statement-breakpoint
DROP INDEX "sessions_pending";--> statement-breakpoint
DROP INDEX "users_pending";--> statement-breakpoint
DROP INDEX "verification_tokens_pending";--> statement-breakpoint
ALTER TABLE "password_reset_tokens" ADD COLUMN "pending_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "sessions" ADD COLUMN "pending_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "pending_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "verification_tokens" ADD COLUMN "pending_at" timestamp (3) with time zone;--> statement-breakpoint
CREATE INDEX "cutover_aside_record" ON "cutover_aside" USING btree ("entity","record_id");--> statement-breakpoint
CREATE UNIQUE INDEX "cutover_control_epoch" ON "cutover_control" USING btree ("epoch");--> statement-breakpoint
CREATE INDEX "cutover_log_at" ON "cutover_log" USING btree ("at","id");--> statement-breakpoint
CREATE INDEX "cutover_notes_first_at" ON "cutover_notes" USING btree ("kind","first_at","key");--> statement-breakpoint
CREATE INDEX "password_reset_tokens_pending_at" ON "password_reset_tokens" USING btree ("pending_at","id") WHERE "password_reset_tokens"."pending_at" is not null;--> statement-breakpoint
CREATE INDEX "sessions_pending_at" ON "sessions" USING btree ("pending_at","id") WHERE "sessions"."pending_at" is not null;--> statement-breakpoint
CREATE INDEX "users_pending_at" ON "users" USING btree ("pending_at","id") WHERE "users"."pending_at" is not null;--> statement-breakpoint
CREATE INDEX "verification_tokens_pending_at" ON "verification_tokens" USING btree ("pending_at","id") WHERE "verification_tokens"."pending_at" is not null;