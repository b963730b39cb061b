ALTER TABLE "password_reset_tokens" DROP COLUMN "pending";--> statement-breakpoint
ALTER TABLE "sessions" DROP COLUMN "pending";--> statement-breakpoint
ALTER TABLE "users" DROP COLUMN "pending";--> statement-breakpoint
ALTER TABLE "verification_tokens" DROP COLUMN "pending";