-- <new_users>
CREATE TABLE users (
    -- <uuid>
    id              uuid        NOT NULL PRIMARY KEY, -- UUIDv7
    -- </uuid>
    -- <!uuid>
    -- id              bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- </!uuid>
    -- "C" lowercases only ASCII letters, in every locale of the server: Unicode would make different addresses equal.
    email           text        NOT NULL COLLATE "C",
    hashed_password text, -- Argon2id, in PHC string format
    confirmed_at    timestamptz,
    delete_after    timestamptz, -- when the account is deleted, unless its owner logs in before
    -- <mfa>
    mfa_required    boolean     NOT NULL DEFAULT false, -- whether a second factor is required
    -- </mfa>
    -- <languages>
    language        text, -- of pages and emails: a tag such as de. NULL: that of the browser
    -- </languages>
    inserted_at     timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
-- </new_users>

CREATE UNIQUE INDEX users_email ON users (lower(email));
-- For hourly jobs: finding accounts that nobody confirmed, and those past their deletion date.
CREATE INDEX users_unconfirmed ON users (inserted_at) WHERE confirmed_at IS NULL;
CREATE INDEX users_delete_after ON users (delete_after) WHERE delete_after IS NOT NULL;

CREATE TABLE users_tokens (
    id               uuid        NOT NULL PRIMARY KEY, -- UUIDv7: names the session, proves nothing
    -- <uuid>
    user_id          uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </uuid>
    -- <!uuid>
    -- user_id          bigint      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </!uuid>
    context          text        NOT NULL, -- what the token is for
    token            bytea       NOT NULL CHECK (octet_length(token) = 32), -- SHA-256; the raw token is never stored
    series           bytea       CHECK (octet_length(series) = 32), -- SHA-256 of what all tokens of a session begin with
    next_token       bytea       CHECK (octet_length(next_token) = 32), -- issued, and not presented yet
    next_issued_at   timestamptz,
    previous_token   bytea       CHECK (octet_length(previous_token) = 32), -- the token before
    previous_until   timestamptz, -- until when the previous token is valid; NULL: it isn't
    remembered       boolean     NOT NULL DEFAULT false,
    sent_to          text,
    ip               text,
    user_agent       text,
    authenticated_at timestamptz,
    authenticated_by text, -- the first factor: 'password', 'link', 'passkey', ...
    mfa_pending      boolean     NOT NULL DEFAULT false, -- whether the second factor is pending
    mfa_verified_at  timestamptz, -- when the second factor was presented
    mfa_verified_by  text, -- the second factor: 'totp', 'backup_code', 'passkey'
    session_id       uuid, -- the last session that was opened in a trusted browser
    binding_key      bytea       CHECK (octet_length(binding_key) = 33), -- the device's key: a compressed point of P-256
    bound_at         timestamptz, -- when the session was bound to the device
    confirmed_at     timestamptz, -- when the browser of a bound session first presented the bound cookie
    misused_at       timestamptz, -- when a bound session's token was first used without the key
    last_used_at     timestamptz,
    issued_at        timestamptz NOT NULL,
    inserted_at      timestamptz NOT NULL
);

CREATE UNIQUE INDEX users_tokens_context_token ON users_tokens (context, token);
CREATE UNIQUE INDEX users_tokens_series ON users_tokens (series) WHERE series IS NOT NULL;
CREATE UNIQUE INDEX users_tokens_next_token ON users_tokens (next_token) WHERE next_token IS NOT NULL;
CREATE INDEX users_tokens_previous_token ON users_tokens (previous_token) WHERE previous_token IS NOT NULL;
CREATE INDEX users_tokens_user_id_context ON users_tokens (user_id, context);
CREATE INDEX users_tokens_context_inserted_at ON users_tokens (context, inserted_at);
CREATE INDEX users_tokens_mfa_pending ON users_tokens (inserted_at) WHERE mfa_pending;

-- An authenticator app. A user who has one, or a passkey, logs in with a second factor.
CREATE TABLE users_totp (
    -- <uuid>
    user_id      uuid        NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- </uuid>
    -- <!uuid>
    -- user_id      bigint        NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- </!uuid>
    secret       bytea       NOT NULL, -- encrypted
    last_step    bigint      NOT NULL, -- the time step of the last code: the next code must be of a later one
    last_used_at timestamptz NOT NULL,
    inserted_at  timestamptz NOT NULL
);

CREATE TABLE users_passkeys (
    id            uuid        NOT NULL PRIMARY KEY, -- UUIDv7
    -- <uuid>
    user_id       uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </uuid>
    -- <!uuid>
    -- user_id       bigint        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </!uuid>
    credential_id bytea       NOT NULL UNIQUE,
    user_handle   uuid        NOT NULL, -- the user's name to authenticators: random, the same for all their passkeys
    credential    text        NOT NULL, -- the public key and its counter, as JSON
    discoverable  boolean, -- whether it can log in; NULL: the browser didn't say
    second_factor_only boolean NOT NULL DEFAULT false, -- since a recovery, until used
    name          text        NOT NULL,
    last_used_at  timestamptz NOT NULL,
    inserted_at   timestamptz NOT NULL
);

CREATE INDEX users_passkeys_user_id ON users_passkeys (user_id);

-- For users who lost their second factors. Each code works once.
CREATE TABLE users_backup_codes (
    -- <uuid>
    user_id uuid  NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </uuid>
    -- <!uuid>
    -- user_id bigint  NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </!uuid>
    code    bytea NOT NULL CHECK (octet_length(code) = 32), -- SHA-256; the raw code is never stored
    PRIMARY KEY (user_id, code)
);

-- Challenges for browsers to sign with a passkey. Each can be answered once.
CREATE TABLE passkey_ceremonies (
    id          uuid        NOT NULL PRIMARY KEY,
    state       text        NOT NULL, -- JSON
    inserted_at timestamptz NOT NULL
);

CREATE INDEX passkey_ceremonies_inserted_at ON passkey_ceremonies (inserted_at);

-- Accounts at providers, such as Google. Issuer and subject name one, and nothing else does.
CREATE TABLE user_identities (
    id           uuid        NOT NULL PRIMARY KEY, -- UUIDv7
    -- <uuid>
    user_id      uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </uuid>
    -- <!uuid>
    -- user_id      bigint        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </!uuid>
    provider     text        NOT NULL, -- the name in the host's settings
    issuer       text        NOT NULL,
    subject      text        NOT NULL CHECK (subject <> ''),
    email        text, -- a label only: it proves nothing
    tokens       bytea, -- encrypted; NULL unless the host keeps the provider's tokens
    last_used_at timestamptz NOT NULL,
    inserted_at  timestamptz NOT NULL,
    UNIQUE (issuer, subject)
);

CREATE INDEX user_identities_user_id ON user_identities (user_id);

-- Visits of a browser to a provider, and identities that wait for a browser's next step. Each is used once.
CREATE TABLE oauth_flows (
    state       bytea       NOT NULL PRIMARY KEY CHECK (octet_length(state) = 32), -- SHA-256
    browser     bytea       NOT NULL CHECK (octet_length(browser) = 32), -- SHA-256 of the browser's cookie
    provider    text        NOT NULL,
    purpose     text        NOT NULL, -- 'log_in', 'link', 'sudo', 'pending'
    -- <uuid>
    user_id     uuid        REFERENCES users (id) ON DELETE CASCADE, -- who links an account or reauthenticates
    -- </uuid>
    -- <!uuid>
    -- user_id     bigint        REFERENCES users (id) ON DELETE CASCADE, -- who links an account or reauthenticates
    -- </!uuid>
    session_id  uuid, -- the session in which they do
    remembered  boolean     NOT NULL DEFAULT false,
    sealed      bytea       NOT NULL, -- encrypted: the nonce and the PKCE verifier, or the identity
    inserted_at timestamptz NOT NULL
);

CREATE INDEX oauth_flows_browser ON oauth_flows (browser);
CREATE INDEX oauth_flows_inserted_at ON oauth_flows (inserted_at);

-- Personal access tokens, which programs present. Deleting a row revokes its token.
CREATE TABLE api_tokens (
    id           uuid        NOT NULL PRIMARY KEY, -- UUIDv7: names the token, proves nothing
    -- <uuid>
    user_id      uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </uuid>
    -- <!uuid>
    -- user_id      bigint        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </!uuid>
    token        bytea       NOT NULL UNIQUE CHECK (octet_length(token) = 32), -- SHA-256; the raw token is never stored
    hint         text        NOT NULL, -- its last four characters
    name         text        NOT NULL,
    permissions  text        NOT NULL, -- their names, with spaces between
    mfa_verified boolean     NOT NULL, -- whether its user had presented a second factor
    expires_at   timestamptz, -- NULL: never
    last_used_at timestamptz,
    last_used_ip text,
    inserted_at  timestamptz NOT NULL
);

CREATE INDEX api_tokens_user_id ON api_tokens (user_id);
CREATE INDEX api_tokens_expires_at ON api_tokens (expires_at);

-- Programs that registered themselves as clients of the OAuth server. Clients that the host's code names have no row.
CREATE TABLE oauth_clients (
    id            text        NOT NULL PRIMARY KEY,
    name          text        NOT NULL, -- what the program says: it proves nothing
    redirect_uris text        NOT NULL, -- with spaces between them
    last_used_at  timestamptz NOT NULL,
    inserted_at   timestamptz NOT NULL
);

CREATE INDEX oauth_clients_last_used_at ON oauth_clients (last_used_at);

-- Programs that users have given access. Each is one entry of their devices, and one family of refresh tokens.
CREATE TABLE oauth_grants (
    id              uuid        NOT NULL PRIMARY KEY, -- UUIDv7
    -- <uuid>
    user_id         uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </uuid>
    -- <!uuid>
    -- user_id         bigint      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </!uuid>
    client_id       text        NOT NULL,
    client_name     text        NOT NULL, -- as the user read it
    permissions     text        NOT NULL, -- names, with spaces between them
    resource        text        NOT NULL, -- where its tokens are valid
    mfa_verified    boolean     NOT NULL DEFAULT false, -- whether the session that gave access had a second factor
    series          bytea       NOT NULL UNIQUE CHECK (octet_length(series) = 32), -- SHA-256 of what all its refresh tokens begin with
    refresh_token   bytea       NOT NULL CHECK (octet_length(refresh_token) = 32), -- SHA-256; the raw token is never stored
    salt            bytea       NOT NULL, -- of the refresh token: it was derived from the one before, a key and this
    previous_token  bytea       CHECK (octet_length(previous_token) = 32), -- the refresh token before
    superseded_at   timestamptz, -- when the previous one was replaced
    ip              text,
    user_agent      text,
    last_used_at    timestamptz NOT NULL,
    inserted_at     timestamptz NOT NULL
);

CREATE INDEX oauth_grants_user_id ON oauth_grants (user_id);
CREATE INDEX oauth_grants_client_id ON oauth_grants (client_id);
CREATE INDEX oauth_grants_inserted_at ON oauth_grants (inserted_at);

-- The access tokens of grants.
CREATE TABLE oauth_tokens (
    token       bytea       NOT NULL PRIMARY KEY CHECK (octet_length(token) = 32), -- SHA-256; the raw token is never stored
    grant_id    uuid        NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
    permissions text        NOT NULL, -- of the grant's, those that the client asked for
    expires_at  timestamptz NOT NULL,
    inserted_at timestamptz NOT NULL
);

CREATE INDEX oauth_tokens_grant_id ON oauth_tokens (grant_id);
CREATE INDEX oauth_tokens_expires_at ON oauth_tokens (expires_at);

-- Authorization codes. Each is exchanged once. A used one stays for a while, to notice that somebody has a copy.
CREATE TABLE oauth_codes (
    code            bytea       NOT NULL PRIMARY KEY CHECK (octet_length(code) = 32), -- SHA-256; the raw code is never stored
    -- <uuid>
    user_id         uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </uuid>
    -- <!uuid>
    -- user_id         bigint      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- </!uuid>
    session_id      uuid        NOT NULL, -- the session that gave access
    client_id       text        NOT NULL,
    redirect_uri    text        NOT NULL,
    challenge       text        NOT NULL, -- PKCE, with S256
    permissions     text        NOT NULL,
    resource        text        NOT NULL,
    user_agent      text, -- the browser's
    grant_id        uuid, -- what it was exchanged for
    consumed_at     timestamptz, -- when it was exchanged
    inserted_at     timestamptz NOT NULL
);

CREATE INDEX oauth_codes_user_id ON oauth_codes (user_id);
CREATE INDEX oauth_codes_inserted_at ON oauth_codes (inserted_at);

-- Programs without a browser that wait until a user enters a code elsewhere.
CREATE TABLE oauth_device_codes (
    code          bytea       NOT NULL PRIMARY KEY CHECK (octet_length(code) = 32), -- SHA-256; the raw code is never stored
    user_code     bytea       NOT NULL UNIQUE CHECK (octet_length(user_code) = 32), -- HMAC-SHA256 of what the user enters
    client_id     text        NOT NULL,
    permissions   text        NOT NULL,
    resource      text        NOT NULL,
    -- <uuid>
    user_id       uuid        REFERENCES users (id) ON DELETE CASCADE, -- who entered the code
    -- </uuid>
    -- <!uuid>
    -- user_id       bigint      REFERENCES users (id) ON DELETE CASCADE, -- who entered the code
    -- </!uuid>
    session_id    uuid, -- the session in which they did: only that one can give access
    decision      text        CHECK (decision IN ('approved', 'denied')),
    poll_interval integer     NOT NULL, -- in seconds
    polled_at     timestamptz,
    ip            text, -- the program's
    user_agent    text,
    inserted_at   timestamptz NOT NULL
);

CREATE INDEX oauth_device_codes_user_id ON oauth_device_codes (user_id);
CREATE INDEX oauth_device_codes_inserted_at ON oauth_device_codes (inserted_at);

-- The audit trail. Its events outlive the account, and have no secrets.
CREATE TABLE audit_events (
    id          uuid        NOT NULL PRIMARY KEY, -- UUIDv7: in the order of events
    action      text        NOT NULL,
    -- <uuid>
    user_id     uuid, -- the account
    -- </uuid>
    -- <!uuid>
    -- user_id     bigint, -- the account
    -- </!uuid>
    -- <uuid>
    actor_id    uuid, -- the user who did it, if known
    -- </uuid>
    -- <!uuid>
    -- actor_id    bigint, -- the user who did it, if known
    -- </!uuid>
    ip          text,
    user_agent  text,
    metadata    text        NOT NULL DEFAULT '{}', -- JSON
    method      text, -- the sign-in method, of a login
    inserted_at timestamptz NOT NULL
);

CREATE INDEX audit_events_user_id_id ON audit_events (user_id, id);
CREATE INDEX audit_events_user_id_method_id ON audit_events (user_id, method, id) WHERE method IS NOT NULL;
CREATE INDEX audit_events_inserted_at ON audit_events (inserted_at);

-- Counts attempts, and the time of the next free one. Times are milliseconds since the Unix epoch.
CREATE TABLE auth_attempts (
    key      bytea   NOT NULL PRIMARY KEY CHECK (octet_length(key) = 32), -- a hash of what the limit applies to
    attempts integer NOT NULL,
    last_at  bigint  NOT NULL,
    free_at  bigint  NOT NULL
);

CREATE INDEX auth_attempts_last_at ON auth_attempts (last_at);

-- Unsent emails. A process that sends one holds it for a while, so that no other process does.
CREATE TABLE outgoing_mails (
    id          uuid   NOT NULL PRIMARY KEY, -- UUIDv7
    sealed      bytea  NOT NULL, -- encrypted, because emails have links
    held_until  bigint NOT NULL, -- by the database's clock
    inserted_at bigint NOT NULL
);

CREATE INDEX outgoing_mails_held_until ON outgoing_mails (held_until);

-- Rows that the health check writes and deletes, to check that the disk has room.
CREATE TABLE write_probes (
    id     smallint NOT NULL PRIMARY KEY CHECK (id = 1),
    filler bytea    NOT NULL
);

-- Announces every change of a session, a token or a user, so that no process uses an outdated copy. That includes purges: what
-- has expired here may be valid for a process with another clock or setting.
CREATE FUNCTION sigra_announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'users_tokens' THEN
        IF TG_OP = 'UPDATE' AND NEW.last_used_at > OLD.last_used_at THEN
            OLD.last_used_at := NEW.last_used_at; -- its use alone is not a change
            IF NEW IS NOT DISTINCT FROM OLD THEN
                RETURN NULL;
            END IF;
        END IF;
    ELSIF TG_TABLE_NAME = 'api_tokens' THEN
        IF TG_OP = 'UPDATE' AND (OLD.last_used_at IS NULL OR NEW.last_used_at > OLD.last_used_at) THEN
            OLD.last_used_at := NEW.last_used_at;
            OLD.last_used_ip := NEW.last_used_ip;
            IF NEW IS NOT DISTINCT FROM OLD THEN
                RETURN NULL;
            END IF;
        END IF;
    END IF;
    PERFORM pg_notify('sigra', OLD.id::text);
    RETURN NULL;
END $$;

-- Announces what ends access tokens of programs, by the grant that they belong to.
CREATE FUNCTION sigra_announce_grant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'oauth_tokens' THEN
        PERFORM pg_notify('sigra', OLD.grant_id::text);
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.last_used_at > OLD.last_used_at THEN
        OLD.last_used_at := NEW.last_used_at; -- its use alone is not a change
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NULL;
        END IF;
    END IF;
    PERFORM pg_notify('sigra', OLD.id::text);
    RETURN NULL;
END $$;

CREATE FUNCTION sigra_announce_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sigra', '*');
    RETURN NULL;
END $$;

CREATE TRIGGER sigra_announce AFTER UPDATE OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION sigra_announce();
CREATE TRIGGER sigra_announce AFTER UPDATE OR DELETE ON users_tokens
    FOR EACH ROW EXECUTE FUNCTION sigra_announce();
CREATE TRIGGER sigra_announce AFTER UPDATE OR DELETE ON api_tokens
    FOR EACH ROW EXECUTE FUNCTION sigra_announce();
CREATE TRIGGER sigra_announce AFTER UPDATE OR DELETE ON oauth_grants
    FOR EACH ROW EXECUTE FUNCTION sigra_announce_grant();
CREATE TRIGGER sigra_announce AFTER UPDATE OR DELETE ON oauth_tokens
    FOR EACH ROW EXECUTE FUNCTION sigra_announce_grant();
CREATE TRIGGER sigra_announce_truncate AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION sigra_announce_truncate();
CREATE TRIGGER sigra_announce_truncate AFTER TRUNCATE ON users_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION sigra_announce_truncate();
CREATE TRIGGER sigra_announce_truncate AFTER TRUNCATE ON api_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION sigra_announce_truncate();
CREATE TRIGGER sigra_announce_truncate AFTER TRUNCATE ON oauth_grants
    FOR EACH STATEMENT EXECUTE FUNCTION sigra_announce_truncate();
CREATE TRIGGER sigra_announce_truncate AFTER TRUNCATE ON oauth_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION sigra_announce_truncate();

-- Also run for changes that replication writes.
ALTER TABLE users ENABLE ALWAYS TRIGGER sigra_announce;
ALTER TABLE users ENABLE ALWAYS TRIGGER sigra_announce_truncate;
ALTER TABLE users_tokens ENABLE ALWAYS TRIGGER sigra_announce;
ALTER TABLE users_tokens ENABLE ALWAYS TRIGGER sigra_announce_truncate;
ALTER TABLE api_tokens ENABLE ALWAYS TRIGGER sigra_announce;
ALTER TABLE api_tokens ENABLE ALWAYS TRIGGER sigra_announce_truncate;
ALTER TABLE oauth_grants ENABLE ALWAYS TRIGGER sigra_announce;
ALTER TABLE oauth_grants ENABLE ALWAYS TRIGGER sigra_announce_truncate;
ALTER TABLE oauth_tokens ENABLE ALWAYS TRIGGER sigra_announce;
ALTER TABLE oauth_tokens ENABLE ALWAYS TRIGGER sigra_announce_truncate;
