mod users;
mod web;

use web::App;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    App::new().await?.serve().await
}
