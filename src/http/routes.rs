//! Every route on one screen.

use std::sync::Arc;

use actix_web::{
    App as ActixApp, Error,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    web,
};

use crate::app::App;

/// The whole server as one actix application.
pub fn application(
    app: Arc<App>,
) -> ActixApp<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    ActixApp::new().app_data(web::Data::from(app))
}
