ALTER TABLE "copy_quarantine" ADD COLUMN "owner" text COLLATE "C";--> statement-breakpoint
ALTER TABLE "copy_undo" ADD COLUMN "owner" text COLLATE "C";--> statement-breakpoint
UPDATE "copy_quarantine" SET "owner" = CASE WHEN "entity" = 'user' THEN "record_id"
  ELSE substring("document" from '"userId":(?:\{"\$oid":)?"([^"]*)"') END;
--> statement-breakpoint
UPDATE "copy_undo" SET "owner" = CASE WHEN "entity" = 'user' THEN "record_id"
  ELSE substring("before" from '"(?:user_id": |userId":(?:\{"\$oid":)?)"([^"]*)"') END
WHERE "before" IS NOT NULL;
--> statement-breakpoint
CREATE INDEX "copy_quarantine_owner" ON "copy_quarantine" USING btree ("owner") WHERE "copy_quarantine"."document" <> '';--> statement-breakpoint
CREATE INDEX "copy_undo_owner" ON "copy_undo" USING btree ("owner") WHERE "copy_undo"."before" <> '';--> statement-breakpoint
CREATE INDEX "cutover_aside_owner" ON "cutover_aside" USING btree (("body" ->> 'user_id'));