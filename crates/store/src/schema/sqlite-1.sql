-- Version 1. A released file never changes: what is new comes in a file of its own.

CREATE TABLE requests (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    version     INTEGER NOT NULL,
    state       TEXT NOT NULL,
    requester   TEXT NOT NULL,
    binding     TEXT NOT NULL,
    database    TEXT NOT NULL,
    gateway     TEXT NOT NULL,
    until       INTEGER NOT NULL,
    changed     INTEGER NOT NULL,
    review_due  INTEGER NOT NULL,
    body        TEXT NOT NULL
) STRICT;
CREATE INDEX requests_by_state ON requests (state, number);
CREATE INDEX requests_by_binding ON requests (binding, state);
CREATE INDEX requests_by_until ON requests (state, until);
CREATE INDEX requests_by_requester ON requests (requester, number);

CREATE TABLE delegations (
    id          TEXT PRIMARY KEY,
    made        INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    ended       INTEGER,
    body        TEXT NOT NULL
) STRICT;

CREATE TABLE people (
    issuer      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    email       TEXT,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;

CREATE TABLE browser_sessions (
    digest      TEXT PRIMARY KEY,
    person      TEXT NOT NULL,
    sid         TEXT,
    expires     INTEGER NOT NULL,
    body        TEXT NOT NULL
) STRICT;
CREATE INDEX browser_sessions_by_sid ON browser_sessions (sid);
CREATE INDEX browser_sessions_by_person ON browser_sessions (person);

CREATE TABLE login_attempts (
    digest      TEXT PRIMARY KEY,
    expires     INTEGER NOT NULL,
    body        TEXT NOT NULL
) STRICT;

CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    channel     TEXT NOT NULL,
    kind        TEXT NOT NULL,
    number      INTEGER NOT NULL,
    made        INTEGER NOT NULL,
    state       TEXT NOT NULL,
    next        INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    error       TEXT,
    receipt     TEXT,
    body        TEXT NOT NULL,
    UNIQUE (channel, kind, number)
) STRICT;
CREATE INDEX outbox_by_state ON outbox (state, next);
CREATE INDEX outbox_by_number ON outbox (number);

CREATE TABLE replays (
    scope       TEXT NOT NULL,
    id          TEXT NOT NULL,
    until       INTEGER NOT NULL,
    PRIMARY KEY (scope, id)
) STRICT;

CREATE TABLE instances (
    instance    TEXT PRIMARY KEY,
    seen        INTEGER NOT NULL
) STRICT;

-- What other processes that have the file open are to read again.
CREATE TABLE changes (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    what        TEXT NOT NULL
) STRICT;
CREATE TRIGGER changes_are_bounded AFTER INSERT ON changes BEGIN
    DELETE FROM changes WHERE seq <= NEW.seq - 4096;
END;
CREATE TRIGGER request_opened AFTER INSERT ON requests BEGIN
    INSERT INTO changes (what) VALUES ('request ' || NEW.number || ' ' || NEW.version);
END;
CREATE TRIGGER request_changed AFTER UPDATE ON requests BEGIN
    INSERT INTO changes (what) VALUES ('request ' || NEW.number || ' ' || NEW.version);
END;
CREATE TRIGGER delegation_made AFTER INSERT ON delegations BEGIN
    INSERT INTO changes (what) VALUES ('delegations');
END;
CREATE TRIGGER delegation_ended AFTER UPDATE ON delegations BEGIN
    INSERT INTO changes (what) VALUES ('delegations');
END;
CREATE TRIGGER message_enqueued AFTER INSERT ON outbox BEGIN
    INSERT INTO changes (what) VALUES ('outbox');
END;
