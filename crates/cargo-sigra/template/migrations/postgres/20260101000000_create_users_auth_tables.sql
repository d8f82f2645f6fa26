CREATE TABLE users (
    id              uuid        NOT NULL PRIMARY KEY, -- UUIDv7
    -- "C" lower-cases ASCII letters alone, whatever the server's locale: Unicode folds different addresses into one.
    email           text        NOT NULL COLLATE "C",
    hashed_password text, -- Argon2id, in PHC string format
    confirmed_at    timestamptz,
    inserted_at     timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);

CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE users_tokens (
    id               uuid        NOT NULL PRIMARY KEY, -- UUIDv7: names the session, proves nothing
    user_id          uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    context          text        NOT NULL, -- what the token is for
    token            bytea       NOT NULL CHECK (octet_length(token) = 32), -- SHA-256; the raw token is never stored
    next_token       bytea       CHECK (octet_length(next_token) = 32), -- issued, and not seen yet
    next_issued_at   timestamptz,
    previous_token   bytea       CHECK (octet_length(previous_token) = 32), -- replaced
    previous_until   timestamptz, -- while it is still good; NULL: it is not
    remembered       boolean     NOT NULL DEFAULT false,
    sent_to          text,
    ip               text,
    user_agent       text,
    authenticated_at timestamptz,
    last_used_at     timestamptz,
    issued_at        timestamptz NOT NULL,
    inserted_at      timestamptz NOT NULL
);

CREATE UNIQUE INDEX users_tokens_context_token ON users_tokens (context, token);
CREATE UNIQUE INDEX users_tokens_next_token ON users_tokens (next_token) WHERE next_token IS NOT NULL;
CREATE INDEX users_tokens_previous_token ON users_tokens (previous_token) WHERE previous_token IS NOT NULL;
CREATE INDEX users_tokens_user_id_context ON users_tokens (user_id, context);
CREATE INDEX users_tokens_context_inserted_at ON users_tokens (context, inserted_at);
