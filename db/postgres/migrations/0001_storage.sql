-- What the schema source cannot express.
-- Limits may be lost in a crash, and then cost no flush on each attempt.
ALTER TABLE "rate_limits" SET UNLOGGED;
--> statement-breakpoint
-- Room on each page, so that a row that is often rewritten stays there and no index grows.
ALTER TABLE "rate_limits" SET (fillfactor = 50);
--> statement-breakpoint
ALTER TABLE "sessions" SET (fillfactor = 80);
--> statement-breakpoint
ALTER TABLE "users" SET (fillfactor = 90);
