// Passes requests for the API on, so that the browser sees one origin. Not in the short form `"/api": "http://…"`,
// which changes `Host`, so that the browser's own requests look forged.
export default {
  server: { proxy: { "/api": { target: "http://127.0.0.1:3000" } } },
};
