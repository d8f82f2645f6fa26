-- Times are milliseconds since the Unix epoch, in UTC.
CREATE TABLE users_tokens (
    id               BLOB    NOT NULL PRIMARY KEY, -- UUIDv7: names the session, proves nothing
    user_id                  NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    context          TEXT    NOT NULL, -- what the token is for
    token            BLOB    NOT NULL CHECK (length(token) = 32), -- SHA-256; the raw token is never stored
    series           BLOB    CHECK (length(series) = 32), -- SHA-256 of what all tokens of a session begin with
    next_token       BLOB    CHECK (length(next_token) = 32), -- issued, and not presented yet
    next_issued_at   INTEGER,
    previous_token   BLOB    CHECK (length(previous_token) = 32), -- the token before
    previous_until   INTEGER, -- until when the previous token is valid; NULL: it isn't
    remembered       INTEGER NOT NULL DEFAULT 0 CHECK (remembered IN (0, 1)),
    sent_to          TEXT,
    ip               TEXT,
    user_agent       TEXT,
    authenticated_at INTEGER,
    authenticated_by TEXT, -- the first factor: 'password', 'link', 'passkey', ...
    mfa_pending      INTEGER NOT NULL DEFAULT 0 CHECK (mfa_pending IN (0, 1)), -- whether the second factor is pending
    mfa_verified_at  INTEGER, -- when the second factor was presented
    mfa_verified_by  TEXT, -- the second factor: 'totp', 'backup_code', 'passkey'
    session_id       BLOB, -- the last session that was opened in a trusted browser
    binding_key      BLOB    CHECK (length(binding_key) = 33), -- the device's key: a compressed point of P-256
    bound_at         INTEGER, -- when the session was bound to the device
    confirmed_at     INTEGER, -- when the browser of a bound session first presented the bound cookie
    misused_at       INTEGER, -- when a bound session's token was first used without the key
    last_used_at     INTEGER,
    issued_at        INTEGER NOT NULL,
    inserted_at      INTEGER NOT NULL
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
    user_id      NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret       BLOB    NOT NULL, -- encrypted
    last_step    INTEGER NOT NULL, -- the time step of the last code: the next code must be of a later one
    last_used_at INTEGER NOT NULL,
    inserted_at  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE users_passkeys (
    id            BLOB    NOT NULL PRIMARY KEY, -- UUIDv7
    user_id               NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential_id BLOB    NOT NULL UNIQUE,
    user_handle   BLOB    NOT NULL, -- the user's name to authenticators: random, the same for all their passkeys
    credential    TEXT    NOT NULL, -- the public key and its counter, as JSON
    discoverable  INTEGER CHECK (discoverable IN (0, 1)), -- whether it can log in; NULL: the browser didn't say
    second_factor_only INTEGER NOT NULL DEFAULT 0 CHECK (second_factor_only IN (0, 1)), -- since a recovery, until used
    name          TEXT    NOT NULL,
    last_used_at  INTEGER NOT NULL,
    inserted_at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX users_passkeys_user_id ON users_passkeys (user_id);

-- For users who lost their second factors. Each code works once.
CREATE TABLE users_backup_codes (
    user_id NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    code    BLOB NOT NULL CHECK (length(code) = 32), -- SHA-256; the raw code is never stored
    PRIMARY KEY (user_id, code)
) WITHOUT ROWID;

-- Challenges for browsers to sign with a passkey. Each can be answered once.
CREATE TABLE passkey_ceremonies (
    id          BLOB    NOT NULL PRIMARY KEY,
    state       TEXT    NOT NULL, -- JSON
    inserted_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX passkey_ceremonies_inserted_at ON passkey_ceremonies (inserted_at);

-- Accounts at providers, such as Google. Issuer and subject name one, and nothing else does.
CREATE TABLE user_identities (
    id           BLOB    NOT NULL PRIMARY KEY, -- UUIDv7
    user_id              NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider     TEXT    NOT NULL, -- the name in the host's settings
    issuer       TEXT    NOT NULL,
    subject      TEXT    NOT NULL CHECK (subject <> ''),
    email        TEXT, -- a label only: it proves nothing
    tokens       BLOB, -- encrypted; NULL unless the host keeps the provider's tokens
    last_used_at INTEGER NOT NULL,
    inserted_at  INTEGER NOT NULL,
    UNIQUE (issuer, subject)
) WITHOUT ROWID;

CREATE INDEX user_identities_user_id ON user_identities (user_id);

-- Visits of a browser to a provider, and identities that wait for a browser's next step. Each is used once.
CREATE TABLE oauth_flows (
    state       BLOB    NOT NULL PRIMARY KEY CHECK (length(state) = 32), -- SHA-256
    browser     BLOB    NOT NULL CHECK (length(browser) = 32), -- SHA-256 of the browser's cookie
    provider    TEXT    NOT NULL,
    purpose     TEXT    NOT NULL, -- 'log_in', 'link', 'sudo', 'pending'
    user_id             REFERENCES users (id) ON DELETE CASCADE, -- who links an account or reauthenticates
    session_id  BLOB, -- the session in which they do
    remembered  INTEGER NOT NULL DEFAULT 0 CHECK (remembered IN (0, 1)),
    sealed      BLOB    NOT NULL, -- encrypted: the nonce and the PKCE verifier, or the identity
    inserted_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX oauth_flows_browser ON oauth_flows (browser);
CREATE INDEX oauth_flows_inserted_at ON oauth_flows (inserted_at);

-- Personal access tokens, which programs present. Deleting a row revokes its token.
CREATE TABLE api_tokens (
    id           BLOB    NOT NULL PRIMARY KEY, -- UUIDv7: names the token, proves nothing
    user_id              NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token        BLOB    NOT NULL UNIQUE CHECK (length(token) = 32), -- SHA-256; the raw token is never stored
    hint         TEXT    NOT NULL, -- its last four characters
    name         TEXT    NOT NULL,
    permissions  TEXT    NOT NULL, -- their names, with spaces between
    mfa_verified INTEGER NOT NULL CHECK (mfa_verified IN (0, 1)), -- whether its user had presented a second factor
    expires_at   INTEGER, -- NULL: never
    last_used_at INTEGER,
    last_used_ip TEXT,
    inserted_at  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX api_tokens_user_id ON api_tokens (user_id);
CREATE INDEX api_tokens_expires_at ON api_tokens (expires_at);

-- Programs that registered themselves as clients of the OAuth server. Clients that the host's code names have no row.
CREATE TABLE oauth_clients (
    id            TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL, -- what the program says: it proves nothing
    redirect_uris TEXT    NOT NULL, -- with spaces between them
    last_used_at  INTEGER NOT NULL,
    inserted_at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX oauth_clients_last_used_at ON oauth_clients (last_used_at);

-- Programs that users have given access. Each is one entry of their devices, and one family of refresh tokens.
CREATE TABLE oauth_grants (
    id              BLOB    NOT NULL PRIMARY KEY, -- UUIDv7
    user_id                 NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id       TEXT    NOT NULL,
    client_name     TEXT    NOT NULL, -- as the user read it
    permissions     TEXT    NOT NULL, -- names, with spaces between them
    resource        TEXT    NOT NULL, -- where its tokens are valid
    mfa_verified    INTEGER NOT NULL DEFAULT 0 CHECK (mfa_verified IN (0, 1)), -- whether the session that gave access had a second factor
    series          BLOB    NOT NULL UNIQUE CHECK (length(series) = 32), -- SHA-256 of what all its refresh tokens begin with
    refresh_token   BLOB    NOT NULL CHECK (length(refresh_token) = 32), -- SHA-256; the raw token is never stored
    salt            BLOB    NOT NULL, -- of the refresh token: it was derived from the one before, a key and this
    previous_token  BLOB    CHECK (length(previous_token) = 32), -- the refresh token before
    superseded_at   INTEGER, -- when the previous one was replaced
    ip              TEXT,
    user_agent      TEXT,
    last_used_at    INTEGER NOT NULL,
    inserted_at     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX oauth_grants_user_id ON oauth_grants (user_id);
CREATE INDEX oauth_grants_client_id ON oauth_grants (client_id);
CREATE INDEX oauth_grants_inserted_at ON oauth_grants (inserted_at);

-- The access tokens of grants.
CREATE TABLE oauth_tokens (
    token       BLOB    NOT NULL PRIMARY KEY CHECK (length(token) = 32), -- SHA-256; the raw token is never stored
    grant_id    BLOB    NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
    permissions TEXT    NOT NULL, -- of the grant's, those that the client asked for
    expires_at  INTEGER NOT NULL,
    inserted_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX oauth_tokens_grant_id ON oauth_tokens (grant_id);
CREATE INDEX oauth_tokens_expires_at ON oauth_tokens (expires_at);

-- Authorization codes. Each is exchanged once. A used one stays for a while, to notice that somebody has a copy.
CREATE TABLE oauth_codes (
    code            BLOB    NOT NULL PRIMARY KEY CHECK (length(code) = 32), -- SHA-256; the raw code is never stored
    user_id                 NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id      BLOB    NOT NULL, -- the session that gave access
    client_id       TEXT    NOT NULL,
    redirect_uri    TEXT    NOT NULL,
    challenge       TEXT    NOT NULL, -- PKCE, with S256
    permissions     TEXT    NOT NULL,
    resource        TEXT    NOT NULL,
    user_agent      TEXT, -- the browser's
    grant_id        BLOB, -- what it was exchanged for
    consumed_at     INTEGER, -- when it was exchanged
    inserted_at     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX oauth_codes_user_id ON oauth_codes (user_id);
CREATE INDEX oauth_codes_inserted_at ON oauth_codes (inserted_at);

-- Programs without a browser that wait until a user enters a code elsewhere.
CREATE TABLE oauth_device_codes (
    code          BLOB    NOT NULL PRIMARY KEY CHECK (length(code) = 32), -- SHA-256; the raw code is never stored
    user_code     BLOB    NOT NULL UNIQUE CHECK (length(user_code) = 32), -- HMAC-SHA256 of what the user enters
    client_id     TEXT    NOT NULL,
    permissions   TEXT    NOT NULL,
    resource      TEXT    NOT NULL,
    user_id               REFERENCES users (id) ON DELETE CASCADE, -- who entered the code
    session_id    BLOB, -- the session in which they did: only that one can give access
    decision      TEXT    CHECK (decision IN ('approved', 'denied')),
    poll_interval INTEGER NOT NULL, -- in seconds
    polled_at     INTEGER,
    ip            TEXT, -- the program's
    user_agent    TEXT,
    inserted_at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX oauth_device_codes_user_id ON oauth_device_codes (user_id);
CREATE INDEX oauth_device_codes_inserted_at ON oauth_device_codes (inserted_at);

-- The audit trail. Its events outlive the account, and have no secrets.
CREATE TABLE audit_events (
    id          BLOB    NOT NULL PRIMARY KEY, -- UUIDv7: in the order of events
    action      TEXT    NOT NULL,
    user_id, -- the account
    actor_id, -- the user who did it, if known
    ip          TEXT,
    user_agent  TEXT,
    metadata    TEXT    NOT NULL DEFAULT '{}', -- JSON
    method      TEXT, -- the sign-in method, of a login
    inserted_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX audit_events_user_id_id ON audit_events (user_id, id);
CREATE INDEX audit_events_user_id_method_id ON audit_events (user_id, method, id) WHERE method IS NOT NULL;
CREATE INDEX audit_events_inserted_at ON audit_events (inserted_at);

-- Counts attempts, and the time of the next free one. Times are milliseconds since the Unix epoch.
CREATE TABLE auth_attempts (
    key      BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32), -- a hash of what the limit applies to
    attempts INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    free_at  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX auth_attempts_last_at ON auth_attempts (last_at);

-- Unsent emails. A process that sends one holds it for a while, so that no other process does.
CREATE TABLE outgoing_mails (
    id          BLOB    NOT NULL PRIMARY KEY, -- UUIDv7
    sealed      BLOB    NOT NULL, -- encrypted, because emails have links
    held_until  INTEGER NOT NULL, -- by the database's clock
    inserted_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX outgoing_mails_held_until ON outgoing_mails (held_until);

-- Rows that the health check writes and deletes, to check that the disk has room.
CREATE TABLE write_probes (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    filler BLOB    NOT NULL
);

-- Deletes all of a deleted user's rows, even where foreign keys are off, as in the program `sqlite3`: SQLite can give their
-- id to the next user. Each `+` lets a statement use an index, whatever the type of the id.
CREATE TRIGGER sigra_cascade AFTER DELETE ON users BEGIN
    DELETE FROM users_tokens WHERE user_id = +OLD.id;
    DELETE FROM users_totp WHERE user_id = +OLD.id;
    DELETE FROM users_passkeys WHERE user_id = +OLD.id;
    DELETE FROM users_backup_codes WHERE user_id = +OLD.id;
    DELETE FROM user_identities WHERE user_id = +OLD.id;
    DELETE FROM oauth_flows WHERE user_id = +OLD.id;
    DELETE FROM api_tokens WHERE user_id = +OLD.id;
    DELETE FROM oauth_tokens WHERE grant_id IN (SELECT id FROM oauth_grants WHERE user_id = +OLD.id);
    DELETE FROM oauth_grants WHERE user_id = +OLD.id;
    DELETE FROM oauth_codes WHERE user_id = +OLD.id;
    DELETE FROM oauth_device_codes WHERE user_id = +OLD.id;
END;
