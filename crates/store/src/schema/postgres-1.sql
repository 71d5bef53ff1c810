-- Version 1. A released file never changes: what is new comes in a file of its own.

CREATE TABLE gatepost.requests (
    number      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version     BIGINT NOT NULL,
    state       TEXT NOT NULL,
    requester   TEXT NOT NULL,
    binding     TEXT NOT NULL,
    database    TEXT NOT NULL,
    gateway     TEXT NOT NULL,
    until       BIGINT NOT NULL,
    changed     BIGINT NOT NULL,
    review_due  BIGINT NOT NULL,
    body        TEXT NOT NULL
);
CREATE INDEX requests_by_state ON gatepost.requests (state, number);
CREATE INDEX requests_by_binding ON gatepost.requests (binding, state);
CREATE INDEX requests_by_until ON gatepost.requests (state, until);
CREATE INDEX requests_by_requester ON gatepost.requests (requester, number);

CREATE TABLE gatepost.delegations (
    id          TEXT PRIMARY KEY,
    made        BIGINT NOT NULL,
    until       BIGINT NOT NULL,
    ended       BIGINT,
    body        TEXT NOT NULL
);

CREATE TABLE gatepost.people (
    issuer      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    email       TEXT,
    first_seen  BIGINT NOT NULL,
    last_seen   BIGINT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE TABLE gatepost.browser_sessions (
    digest      TEXT PRIMARY KEY,
    person      TEXT NOT NULL,
    sid         TEXT,
    expires     BIGINT NOT NULL,
    body        TEXT NOT NULL
);
CREATE INDEX browser_sessions_by_sid ON gatepost.browser_sessions (sid);
CREATE INDEX browser_sessions_by_person ON gatepost.browser_sessions (person);

CREATE TABLE gatepost.login_attempts (
    digest      TEXT PRIMARY KEY,
    expires     BIGINT NOT NULL,
    body        TEXT NOT NULL
);

CREATE TABLE gatepost.outbox (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel     TEXT NOT NULL,
    kind        TEXT NOT NULL,
    number      BIGINT NOT NULL,
    made        BIGINT NOT NULL,
    state       TEXT NOT NULL,
    next        BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    error       TEXT,
    receipt     TEXT,
    body        TEXT NOT NULL,
    UNIQUE (channel, kind, number)
);
CREATE INDEX outbox_by_state ON gatepost.outbox (state, next);
CREATE INDEX outbox_by_number ON gatepost.outbox (number);

CREATE TABLE gatepost.replays (
    scope       TEXT NOT NULL,
    id          TEXT NOT NULL,
    until       BIGINT NOT NULL,
    PRIMARY KEY (scope, id)
);

CREATE TABLE gatepost.instances (
    instance    TEXT PRIMARY KEY,
    seen        BIGINT NOT NULL
);

-- What listeners are to read again.
CREATE FUNCTION gatepost.tell() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'requests' THEN
        PERFORM pg_notify('gatepost', 'request ' || NEW.number || ' ' || NEW.version);
    ELSE
        PERFORM pg_notify('gatepost', TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE ON gatepost.requests FOR EACH ROW EXECUTE FUNCTION gatepost.tell();
CREATE TRIGGER tell AFTER INSERT OR UPDATE ON gatepost.delegations FOR EACH ROW EXECUTE FUNCTION gatepost.tell();
CREATE TRIGGER tell AFTER INSERT ON gatepost.outbox FOR EACH ROW EXECUTE FUNCTION gatepost.tell();
