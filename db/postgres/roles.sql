-- Least-privilege roles for one database. Run once by its owner or a superuser, before the first migration; safe to
-- run again. Passwords are given afterwards: ALTER ROLE auth_runtime LOGIN PASSWORD '…'.
--
--   auth_migration  owns the tables; used by `npm run migrate` only
--   auth_runtime    what the service runs as: rows, never tables
--   auth_backfill   what the bulk copy runs as: rows, and tables in its own schemas `staging` and `copy_jobs`

DO $$
DECLARE role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['auth_migration', 'auth_runtime', 'auth_backfill'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT', role_name);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- another session made it meanwhile
      END;
    END IF;
  END LOOP;
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO auth_migration;
GRANT USAGE ON SCHEMA public TO auth_runtime, auth_backfill;

-- Tables that migrations create from now on, and those that are already there.
ALTER DEFAULT PRIVILEGES FOR ROLE auth_migration IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO auth_runtime, auth_backfill;
ALTER DEFAULT PRIVILEGES FOR ROLE auth_migration IN SCHEMA public
  GRANT USAGE ON SEQUENCES TO auth_runtime, auth_backfill;
-- pg_dump reads where each stands.
ALTER DEFAULT PRIVILEGES FOR ROLE auth_migration IN SCHEMA public GRANT SELECT ON SEQUENCES TO auth_backfill;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO auth_backfill;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO auth_runtime, auth_backfill;

-- The runtime role may not forge the list of applied migrations.
DO $$
BEGIN
  IF to_regclass('public.schema_migrations') IS NOT NULL THEN
    REVOKE INSERT, UPDATE, DELETE ON public.schema_migrations FROM auth_runtime, auth_backfill;
  END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS staging AUTHORIZATION auth_backfill;
-- pg-boss makes its tables there, the first time that ranges of a copy are shared.
CREATE SCHEMA IF NOT EXISTS copy_jobs AUTHORIZATION auth_backfill;

-- Only the owner of a table may analyse it (from PostgreSQL 17 on also who may maintain it, which is much more), and
-- without new statistics the first queries after a copy read whole tables.
GRANT USAGE, CREATE ON SCHEMA staging TO auth_migration;
CREATE OR REPLACE FUNCTION staging.analyze_live() RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  ANALYZE public.users, public.verification_tokens, public.password_reset_tokens, public.sessions;
END
$$;
REVOKE ALL ON FUNCTION staging.analyze_live() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION staging.analyze_live() TO auth_backfill;
ALTER FUNCTION staging.analyze_live() OWNER TO auth_migration;
