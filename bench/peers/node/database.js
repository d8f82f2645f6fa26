// What both servers share: the SQLite file, and filling it.

const Database = require("better-sqlite3");

const { DATABASE, USERS, SESSIONS, TOKENS, PORT } = process.env;

function open() {
  const db = new Database(DATABASE);
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = NORMAL");
  return db;
}

/** Runs a statement for each number from 1, all in one transaction. */
function each(db, count, sql, values) {
  const statement = db.prepare(sql);
  db.transaction(() => {
    for (let n = 1; n <= count; n++) statement.run(...values(n));
  })();
  db.pragma("wal_checkpoint(TRUNCATE)");
}

module.exports = {
  open,
  each,
  email: (number) => `user${number}@example.com`,
  users: Number(USERS),
  sessions: Number(SESSIONS),
  tokens: TOKENS === "on",
  port: Number(PORT),
};
