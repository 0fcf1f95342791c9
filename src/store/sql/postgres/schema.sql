-- (no schema) -> schema. Who may not make schemas gets by when it is there.
DO $$ BEGIN
  IF to_regnamespace('{schema}') IS NULL THEN CREATE SCHEMA {schema}; END IF;
END $$;
