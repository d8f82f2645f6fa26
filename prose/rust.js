// A plugin for textlint: reads Rust's comments, and string literals that are sentences, as Markdown. Each stays on its
// line.
import { parse } from "@textlint/markdown-to-ast";

const TOKENS = new RegExp(
  [
    /\/\/[/!]?(?<comment>[^\n]*)/,
    /\bb?r(?<hashes>#*)"(?<raw>[^]*?)"\k<hashes>/,
    /"(?<string>(?:[^"\\]|\\[^])*)"/,
    /'(?:[^'\\\n]|\\[^\n][^'\n]*)'/,
    /\n/,
  ]
    .map((token) => token.source)
    .join("|"),
  "g",
);

function prose(source) {
  let text = "";
  for (const { 0: token, groups } of source.matchAll(TOKENS)) {
    if (groups.comment !== undefined) {
      text += groups.comment.replace(/^ /, "");
    } else if (token === "\n") {
      text += token;
    } else {
      text += sentence(groups.string ?? groups.raw ?? "");
    }
  }
  return text;
}

// What has no space is a name, and what has markup or SQL is for machines.
function sentence(literal) {
  const isSentence = / /.test(literal) && !/<\w|^\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|WITH)\b/.test(literal);
  const words = isSentence ? literal.replace(/\\[nt"\\]/g, " ").replace(/\n\s+/g, "\n") : literal.replace(/[^\n]+/g, "");
  return isSentence ? ` ${words} ` : words;
}

class RustProcessor {
  availableExtensions() {
    return [".rs"];
  }

  processor() {
    return {
      preProcess(source) {
        const text = prose(source);
        return { text, ast: parse(text) };
      },
      postProcess: (messages, filePath) => ({ messages, filePath }),
    };
  }
}

export default { Processor: RustProcessor };
