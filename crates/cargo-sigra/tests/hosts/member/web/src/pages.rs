pub async fn home() -> &'static str {
    "Hello, World!"
}
