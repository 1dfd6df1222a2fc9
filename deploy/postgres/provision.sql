-- One database, and a role with a schema of its own for each service that needs one. Runs any number of times: by the
-- launcher at every start, by the official image at the first (docker-entrypoint-initdb.d). psql reads the passwords.
\set ON_ERROR_STOP on
\getenv ingest PLEXUS_POSTGRES_INGEST_PASSWORD
\getenv archive PLEXUS_POSTGRES_ARCHIVE_PASSWORD
\getenv worklist PLEXUS_POSTGRES_WORKLIST_PASSWORD
\getenv anonymise PLEXUS_POSTGRES_ANONYMISE_PASSWORD
\getenv audit PLEXUS_POSTGRES_AUDIT_PASSWORD
\getenv catalogue PLEXUS_POSTGRES_CATALOGUE_PASSWORD

SELECT 'CREATE DATABASE plexus' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'plexus') \gexec
REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC;
\connect plexus
SET client_min_messages = warning;
SET log_statement = 'none';

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['ingest', 'archive', 'worklist', 'anonymise', 'audit', 'catalogue']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE ingest PASSWORD :'ingest';
ALTER ROLE archive PASSWORD :'archive';
ALTER ROLE worklist PASSWORD :'worklist';
ALTER ROLE anonymise PASSWORD :'anonymise';
ALTER ROLE audit PASSWORD :'audit';
ALTER ROLE catalogue PASSWORD :'catalogue';

REVOKE ALL ON DATABASE plexus FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE plexus TO ingest, archive, worklist, anonymise, audit, catalogue;

-- ingest writes the index, archive reads it; nobody else sees it
CREATE SCHEMA IF NOT EXISTS index AUTHORIZATION ingest;
CREATE SCHEMA IF NOT EXISTS archive AUTHORIZATION archive;
CREATE SCHEMA IF NOT EXISTS worklist AUTHORIZATION worklist;
CREATE SCHEMA IF NOT EXISTS anonymise AUTHORIZATION anonymise;
CREATE SCHEMA IF NOT EXISTS audit AUTHORIZATION audit;
CREATE SCHEMA IF NOT EXISTS catalogue AUTHORIZATION catalogue;
ALTER ROLE ingest IN DATABASE plexus SET search_path = index;
ALTER ROLE archive IN DATABASE plexus SET search_path = archive, index;
ALTER ROLE worklist IN DATABASE plexus SET search_path = worklist;
ALTER ROLE anonymise IN DATABASE plexus SET search_path = anonymise;
ALTER ROLE audit IN DATABASE plexus SET search_path = audit;
ALTER ROLE catalogue IN DATABASE plexus SET search_path = catalogue;
GRANT USAGE ON SCHEMA index TO archive;
GRANT SELECT ON ALL TABLES IN SCHEMA index TO archive;
ALTER DEFAULT PRIVILEGES FOR ROLE ingest IN SCHEMA index GRANT SELECT ON TABLES TO archive;
