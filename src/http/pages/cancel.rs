//! Leaving an authorization request before it was answered: from the sign-in page, the code after the password, the choice of
//! the account. Pages that ask for a decision take `deny` themselves.

use actix_web::{HttpResponse, web::Data};

use crate::{
    app::App,
    http::{
        extract::{Form, Visit},
        pending::{back, cancelled},
        render::answer,
    },
};

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let pending = match cancelled(&app, &visit, &form.0).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    match app.db.work(visit.now, &visit.trace, async |tx| pending.deny(tx).await).await {
        Ok(()) => back(&app, &pending),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}
