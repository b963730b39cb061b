CREATE TABLE "copy_findings" (
	"run" text COLLATE "C" NOT NULL,
	"entity" text NOT NULL,
	"record_id" text COLLATE "C" NOT NULL,
	"field" text NOT NULL,
	"reason" text NOT NULL,
	"range" integer,
	"detail" jsonb,
	CONSTRAINT "copy_findings_run_entity_record_id_field_reason_pk" PRIMARY KEY("run","entity","record_id","field","reason")
);
--> statement-breakpoint
CREATE TABLE "copy_quarantine" (
	"entity" text NOT NULL,
	"record_id" text COLLATE "C" NOT NULL,
	"run" text COLLATE "C" NOT NULL,
	"state" text NOT NULL,
	"reasons" jsonb NOT NULL,
	"document" text NOT NULL,
	"put_at" timestamp (3) with time zone NOT NULL,
	"resolved_at" timestamp (3) with time zone,
	"resolution" text,
	CONSTRAINT "copy_quarantine_entity_record_id_pk" PRIMARY KEY("entity","record_id"),
	CONSTRAINT "copy_quarantine_state" CHECK ("copy_quarantine"."state" in ('held', 'moved', 'accepted', 'dropped'))
);
--> statement-breakpoint
CREATE TABLE "copy_ranges" (
	"run" text COLLATE "C" NOT NULL,
	"seq" integer NOT NULL,
	"entity" text NOT NULL,
	"bounds" jsonb NOT NULL,
	"state" text NOT NULL,
	"owner" text,
	"beat_at" timestamp (3) with time zone,
	"counts" jsonb NOT NULL,
	CONSTRAINT "copy_ranges_run_seq_pk" PRIMARY KEY("run","seq")
);
--> statement-breakpoint
CREATE TABLE "copy_runs" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"state" text NOT NULL,
	"body" jsonb NOT NULL,
	"started_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "copy_undo" (
	"run" text COLLATE "C" NOT NULL,
	"entity" text NOT NULL,
	"record_id" text COLLATE "C" NOT NULL,
	"epoch" integer NOT NULL,
	"version" integer NOT NULL,
	"before" text,
	CONSTRAINT "copy_undo_run_entity_record_id_pk" PRIMARY KEY("run","entity","record_id")
);
--> statement-breakpoint
CREATE INDEX "copy_ranges_open" ON "copy_ranges" USING btree ("run","seq") WHERE "copy_ranges"."state" = 'open';--> statement-breakpoint
CREATE UNIQUE INDEX "copy_runs_one_active" ON "copy_runs" USING btree ("kind") WHERE "copy_runs"."kind" = 'backfill' and "copy_runs"."state" in ('copying', 'merging', 'undoing');