ALTER TABLE "copy_ranges" ADD COLUMN "job" integer;
--> statement-breakpoint
UPDATE "copy_ranges" SET "job" = "seq";
--> statement-breakpoint
ALTER TABLE "copy_ranges" ALTER COLUMN "job" SET NOT NULL;
--> statement-breakpoint
ALTER TABLE "copy_ranges" DROP COLUMN "beat_at";
