// Builds the guides as a book, and checks that every link in it leads somewhere.
//
//     npm --prefix prose run book
//
// The address of the repository is `repository` in the workspace's Cargo.toml. While there is none, the book has no
// link to the repository and none to edit a page.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const book = join(root, "target/book");

function repository() {
  const shared = readFileSync(join(root, "Cargo.toml"), "utf8").split("[workspace.package]")[1].split("\n[")[0];
  return shared.match(/^repository = "(.+)"$/m)?.[1];
}

function build() {
  const address = repository();
  const links = address && {
    MDBOOK_OUTPUT__HTML__GIT_REPOSITORY_URL: address,
    MDBOOK_OUTPUT__HTML__EDIT_URL_TEMPLATE: `${address}/edit/main/docs/{path}`,
  };
  execFileSync("mdbook", ["build", join(root, "docs")], { stdio: "inherit", env: { ...process.env, ...links } });
  // mdBook copies every file beside the guides.
  for (const beside of ["book.toml", "snippets"]) rmSync(join(book, beside), { recursive: true, force: true });
}

const pages = () => readdirSync(book, { recursive: true }).filter((path) => path.endsWith(".html"));
const attributes = (html, name) => [...html.matchAll(new RegExp(`\\s${name}="([^"]*)"`, "g"))].map((match) => match[1]);

/** Returns the links of a page that lead nowhere. Links to other sites aren't followed. */
function deadLinks(page) {
  const html = readFileSync(join(book, page), "utf8").replace(/<pre>.*?<\/pre>/gs, "");
  return [...attributes(html, "href"), ...attributes(html, "src")].filter((link) => {
    if (/^[a-z]+:/.test(link)) return false;
    const [path, anchor] = decodeURI(link).split("#");
    const target = path === "" ? join(book, page) : resolve(dirname(join(book, page)), path);
    if (!existsSync(target)) return true;
    return anchor && !attributes(readFileSync(target, "utf8"), "id").includes(anchor);
  });
}

build();
// The page for what isn't found is served at any path.
const checked = pages().filter((page) => page !== "404.html");
const dead = checked.flatMap((page) => deadLinks(page).map((link) => `${page}: ${link}`));
if (checked.length < 20) dead.push(`only ${checked.length} pages in ${relative(root, book)}`);
for (const link of dead) console.error(`No such page or heading: ${link}`);
console.log(`${checked.length} pages, ${dead.length} dead links`);
process.exitCode = dead.length ? 1 : 0;
