-- What the oracle needs in a database: two roles, and functions that try a query as one of them. The oracle is PostgreSQL's own
-- check of privileges; nothing here reads a query.
--
-- gatepost_oracle_all may read and write everything. gatepost_oracle_none may do nothing but what a try grants it, so a query that
-- it is allowed to plan needs nothing else.
CREATE SCHEMA gatepost_oracle;

-- Catalogs and their views are granted to everybody; here they are relations like all others.
UPDATE pg_catalog.pg_class SET relacl = NULL
WHERE relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) AND relacl IS NOT NULL;
UPDATE pg_catalog.pg_attribute SET attacl = NULL WHERE attacl IS NOT NULL AND attrelid < 16384;

-- Names mean the same to both roles.
CREATE FUNCTION gatepost_oracle.open_schemas() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pg_catalog.pg_namespace n
    SET nspacl = coalesce(n.nspacl, acldefault('n', n.nspowner))
        || format('gatepost_oracle_none=U/%I', pg_get_userbyid(n.nspowner))::aclitem
        || format('gatepost_oracle_all=U/%I', pg_get_userbyid(n.nspowner))::aclitem
    WHERE n.nspname !~ '^pg_(toast|temp_|toast_temp_)'
      AND NOT (has_schema_privilege('gatepost_oracle_none', n.oid, 'USAGE')
               AND has_schema_privilege('gatepost_oracle_all', n.oid, 'USAGE'));
END $$;

-- Functions that somebody made are anybody's by default; here they are not. Nor is what they do part of the query that calls them:
-- a function with a setting of its own is not inlined.
CREATE FUNCTION gatepost_oracle.close_functions() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pg_catalog.pg_proc p
    SET proacl = ARRAY[format('gatepost_oracle_all=X/%I', pg_get_userbyid(p.proowner))::aclitem,
                       format('%1$I=X/%1$I', pg_get_userbyid(p.proowner))::aclitem],
        proconfig = CASE WHEN p.prolang = (SELECT l.oid FROM pg_language l WHERE l.lanname = 'sql')
            THEN coalesce(p.proconfig, '{jit=off}') ELSE p.proconfig END
    WHERE p.oid >= 16384 AND p.pronamespace <> 'gatepost_oracle'::regnamespace;
END $$;

-- "opaque": functions in SQL are not inlined. Otherwise:
-- Grants gatepost_oracle_none exactly this on the relations named, and everybody nothing; other roles keep what they have, since views
-- and policies may rely on it. Of each relation:
-- schema, name; "table": privileges on the whole; "columns": privileges by column; "all": a privilege on every column but those in
-- "but"; "any": privileges on the first or the last column only (as "pick" says), for checks that any column satisfies.
CREATE FUNCTION gatepost_oracle.grant_only(relations jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    item jsonb;
    relation oid;
    owner text;
    picked name;
    whole text;
BEGIN
    FOR item IN SELECT * FROM jsonb_array_elements(relations) LOOP
        IF item ? 'function' THEN
            UPDATE pg_catalog.pg_proc p
            SET proacl = p.proacl || format('gatepost_oracle_none=X/%I', pg_get_userbyid(p.proowner))::aclitem
            WHERE p.oid >= 16384 AND p.proname = item ->> 'function'
              AND p.pronamespace = (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = item ->> 'schema');
            CONTINUE;
        END IF;
        IF item ? 'opaque' THEN
            UPDATE pg_catalog.pg_proc p SET proconfig = '{jit=off}'
            WHERE p.oid >= 16384 AND p.proconfig IS NULL
              AND p.prolang = (SELECT l.oid FROM pg_catalog.pg_language l WHERE l.lanname = 'sql');
            CONTINUE;
        END IF;
        relation := to_regclass(format('%I.%I', item ->> 'schema', item ->> 'name'));
        CONTINUE WHEN relation IS NULL;
        SELECT quote_ident(pg_get_userbyid(c.relowner)) INTO owner FROM pg_catalog.pg_class c WHERE c.oid = relation;
        whole := item ->> 'table';
        IF item ->> 'any' <> '' THEN
            SELECT a.attname INTO picked FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY a.attnum * (CASE item ->> 'pick' WHEN 'first' THEN 1 ELSE -1 END) LIMIT 1;
            IF picked IS NULL THEN
                whole := whole || (item ->> 'any');
            END IF;
        END IF;
        UPDATE pg_catalog.pg_class c
        SET relacl = (SELECT coalesce(array_agg(i), '{}')
                      FROM unnest(coalesce(c.relacl, acldefault('r', c.relowner))) i WHERE i::text !~ '^(gatepost_oracle_none)?=')
            || CASE WHEN whole <> '' THEN ARRAY[('gatepost_oracle_none=' || whole || '/' || owner)::aclitem]
               ELSE '{}' END
        WHERE c.oid = relation;
        UPDATE pg_catalog.pg_attribute a
        SET attacl = (SELECT array_agg(i) FROM unnest(a.attacl) i WHERE i::text !~ '^(gatepost_oracle_none)?=')
            || CASE WHEN w.granted <> '' THEN
            ARRAY[('gatepost_oracle_none=' || w.granted || '/' || owner)::aclitem] END
        FROM (SELECT b.attnum,
                     coalesce(item -> 'columns' ->> b.attname, '')
                     || CASE WHEN item -> 'but' ? b.attname THEN '' ELSE coalesce(item ->> 'all', '') END
                     || CASE WHEN b.attname = picked THEN item ->> 'any' ELSE '' END AS granted
              FROM pg_catalog.pg_attribute b WHERE b.attrelid = relation AND NOT b.attisdropped) w
        WHERE a.attrelid = relation AND a.attnum = w.attnum AND (w.granted <> '' OR a.attacl IS NOT NULL);
    END LOOP;
END $$;

-- What PostgreSQL says to a query of that role's: 'GPOK0' if it plans it and would begin to run it, else its SQLSTATE and message.
CREATE FUNCTION gatepost_oracle.try(query text, role text, relations jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM gatepost_oracle.grant_only(relations);
    PERFORM set_config('role', role, true);
    EXECUTE 'EXPLAIN ' || query;
    RAISE EXCEPTION USING ERRCODE = 'GPOK0', MESSAGE = 'accepted';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- First as the role that may do everything, then with each of these sets of grants.
CREATE FUNCTION gatepost_oracle.ask(query text, tries jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    said text;
    attempt jsonb;
BEGIN
    PERFORM gatepost_oracle.open_schemas();
    said := gatepost_oracle.try(query, 'gatepost_oracle_all', '[]');
    RETURN NEXT said;
    IF said NOT LIKE 'GPOK0%' THEN
        RETURN;
    END IF;
    FOR attempt IN SELECT * FROM jsonb_array_elements(tries) LOOP
        RETURN NEXT gatepost_oracle.try(query, 'gatepost_oracle_none', attempt);
    END LOOP;
END $$;
