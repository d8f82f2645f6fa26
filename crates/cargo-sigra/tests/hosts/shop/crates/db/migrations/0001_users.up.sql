CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    email TEXT NOT NULL,
    full_name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL DEFAULT 'customer'
);
INSERT INTO users (email, full_name, password_hash) VALUES ('Ada@example.com', 'Ada Lovelace', '$argon2id$');
