-- Preflights ask whose an origin is, without credentials: with many clients that must not mean to look at every one.
CREATE FUNCTION client_origins(metadata jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(origin), '{}') FROM (
        SELECT jsonb_array_elements_text(coalesce(metadata->'allowed_origins', '[]'))
        UNION
        SELECT substring(uri FROM '^https?://[^/?#]+')
        FROM jsonb_array_elements_text(coalesce(metadata->'redirect_uris', '[]')) uri
    ) of_client(origin) WHERE origin IS NOT NULL
$$;
COMMENT ON FUNCTION client_origins IS 'The origins whose scripts are the client''s: declared, or where a redirect URI leads.';
CREATE INDEX clients_origins ON clients USING gin (client_origins(metadata)) WITH (fastupdate = off)
    WHERE disabled_at IS NULL;
