// Express with express-session, Passport, and a store on better-sqlite3.

const { randomBytes } = require("node:crypto");
const express = require("express");
const session = require("express-session");
const passport = require("passport");
const SqliteStore = require("better-sqlite3-session-store")(session);
const { open, each, email, users, sessions, port } = require("./database");

const db = open();
db.exec("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, hashed_password TEXT NOT NULL)");
const store = new SqliteStore({ client: db });
fill();

const byId = db.prepare("SELECT * FROM users WHERE id = ?");
const byEmail = db.prepare("SELECT * FROM users WHERE email = ?");
passport.serializeUser((user, done) => done(null, user.id));
passport.deserializeUser((id, done) => done(null, byId.get(id) ?? false));

const app = express();
app.disable("x-powered-by");
app.use(session({ store, secret: randomBytes(32).toString("hex"), resave: false, saveUninitialized: false }));
app.use(passport.session());

app.get("/me", (request, response) => {
  if (!request.isAuthenticated()) return response.sendStatus(401);
  response.type("text").send(request.user.email);
});

app.post("/log-in/:number", (request, response, next) => {
  const user = byEmail.get(email(request.params.number));
  request.logIn(user, (error) => (error ? next(error) : response.end()));
});

app.listen(port, "127.0.0.1");

function fill() {
  const user = "INSERT INTO users VALUES (?, ?, ?)";
  each(db, users, user, (n) => [n, email(n), "$argon2id$v=19$m=19456,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ$nobodyknowsit"]);
  const cookie = { originalMaxAge: null, expires: null, httpOnly: true, path: "/" };
  const expire = new Date(Date.now() + 86400000).toISOString();
  each(db, sessions, "INSERT INTO sessions VALUES (?, ?, ?)", (n) => [
    randomBytes(24).toString("base64url"),
    JSON.stringify({ cookie, passport: { user: 1 + (n % users) } }),
    expire,
  ]);
}
