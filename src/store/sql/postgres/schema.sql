-- (no schema) -> schema. A role without CREATE succeeds if the schema exists.
DO $$ BEGIN
  IF to_regnamespace('{schema}') IS NULL THEN CREATE SCHEMA {schema}; END IF;
END $$;
