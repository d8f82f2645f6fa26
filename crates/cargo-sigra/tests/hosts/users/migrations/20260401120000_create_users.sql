CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    email TEXT NOT NULL UNIQUE,
    signature TEXT NOT NULL DEFAULT ''
);
INSERT INTO users (email, signature) VALUES ('ada@example.com', 'Ada');
