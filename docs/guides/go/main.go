// A web application whose people sign in at Mooring, and an API that verifies access tokens (JWT) by itself.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

var (
	issuer = cmp.Or(os.Getenv("ISSUER"), "http://localhost:8080")
	home   = cmp.Or(os.Getenv("HERE"), "http://127.0.0.1:3000")
)

// api is the identifier of the API's [[resource]].
const api = "https://greetings.example"

type application struct {
	config     oauth2.Config
	provider   *oidc.Provider
	endSession string
	attempts   sync.Map // sign-ins on their way: state → attempt
	visits     sync.Map // of this application: cookie → *visit; a database in real life
}

type attempt struct{ verifier, nonce string }

type visit struct {
	tokens  oauth2.TokenSource // refreshes when it has to
	idToken string
	sid     string // of the session at Mooring
	name    string
}

func main() {
	provider, err := oidc.NewProvider(context.Background(), issuer)
	if err != nil {
		log.Fatal(err)
	}
	var more struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := provider.Claims(&more); err != nil {
		log.Fatal(err)
	}
	app := &application{provider: provider, endSession: more.EndSession, config: oauth2.Config{
		ClientID:     "go-app",
		ClientSecret: "a secret for this guide only, and for nothing else",
		Endpoint:     provider.Endpoint(),
		RedirectURL:  home + "/callback",
		Scopes:       []string{oidc.ScopeOpenID, "profile", "email", "greetings"},
	}}
	http.HandleFunc("GET /{$}", app.home)
	http.HandleFunc("GET /callback", app.callback)
	http.HandleFunc("GET /me", app.forward(provider.UserInfoEndpoint()))
	http.HandleFunc("GET /hello", app.forward(home+"/api/hello"))
	http.HandleFunc("GET /sign-out", app.signOut)
	http.HandleFunc("POST /backchannel-logout", app.backchannelLogout)
	http.HandleFunc("GET /bye", func(w http.ResponseWriter, _ *http.Request) { page(w, "You are signed out") })
	http.HandleFunc("GET /api/hello", apiHello(provider))
	log.Fatal(http.ListenAndServe(strings.TrimPrefix(home, "http://"), nil))
}

func (app *application) home(w http.ResponseWriter, r *http.Request) {
	if here := app.visit(r); here != nil {
		page(w, "Hello "+here.name)
		return
	}
	state, begun := rand.Text(), attempt{verifier: oauth2.GenerateVerifier(), nonce: rand.Text()}
	app.attempts.Store(state, begun)
	setCookie(w, "attempt", state) // the answer must come to the browser that asked
	there := app.config.AuthCodeURL(state, oidc.Nonce(begun.nonce), oauth2.S256ChallengeOption(begun.verifier))
	http.Redirect(w, r, there, http.StatusSeeOther)
}

func (app *application) callback(w http.ResponseWriter, r *http.Request) {
	state := r.FormValue("state")
	begun, ok := app.attempts.LoadAndDelete(state)
	// RFC 9207: the answer is from the server that was asked.
	if !ok || state != cookie(r, "attempt") || r.FormValue("iss") != issuer {
		http.Error(w, "this sign-in is over, begin again", http.StatusBadRequest)
		return
	}
	if r.FormValue("error") != "" {
		http.Error(w, r.FormValue("error"), http.StatusForbidden)
		return
	}
	// Not the request's context: the token source outlives the request.
	ctx := context.Background()
	token, err := app.config.Exchange(ctx, r.FormValue("code"), oauth2.VerifierOption(begun.(attempt).verifier))
	if err != nil {
		over(w, err)
		return
	}
	raw, _ := token.Extra("id_token").(string)
	verified, err := app.provider.Verifier(&oidc.Config{ClientID: app.config.ClientID}).Verify(ctx, raw)
	if err != nil || verified.Nonce != begun.(attempt).nonce || verified.VerifyAccessToken(token.AccessToken) != nil {
		http.Error(w, fmt.Sprint("the ID token is not for this sign-in: ", err), http.StatusBadRequest)
		return
	}
	// The ID token says who signed in and how (sub, sid, acr, auth_time); name and email are userinfo's to tell.
	tokens := app.config.TokenSource(ctx, token)
	person, err := app.provider.UserInfo(ctx, tokens)
	if err != nil || person.Subject != verified.Subject {
		over(w, err)
		return
	}
	var claims struct{ Name, Sid string }
	if err := errors.Join(verified.Claims(&claims), person.Claims(&claims)); err != nil {
		over(w, err)
		return
	}
	id := rand.Text()
	app.visits.Store(id, &visit{tokens: tokens, idToken: raw, sid: claims.Sid, name: claims.Name})
	setCookie(w, "app", id)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// forward asks another server with the person's access token.
func (app *application) forward(there string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		here := app.visit(r)
		if here == nil {
			over(w, errors.New("not signed in"))
			return
		}
		answer, err := oauth2.NewClient(r.Context(), here.tokens).Get(there)
		if err != nil || answer.StatusCode == http.StatusUnauthorized {
			// The session at Mooring is over, and with it the one here.
			app.visits.Delete(cookie(r, "app"))
			over(w, cmp.Or(err, errors.New("invalid_token")))
			return
		}
		defer answer.Body.Close()
		w.Header().Set("Content-Type", "application/json")
		if _, err := io.Copy(w, answer.Body); err != nil {
			log.Print(err)
		}
	}
}

func (app *application) signOut(w http.ResponseWriter, r *http.Request) {
	here := app.visit(r)
	if here == nil {
		http.Redirect(w, r, "/bye", http.StatusSeeOther)
		return
	}
	app.visits.Delete(cookie(r, "app"))
	query := url.Values{"id_token_hint": {here.idToken}, "post_logout_redirect_uri": {home + "/bye"}}
	http.Redirect(w, r, app.endSession+"?"+query.Encode(), http.StatusSeeOther)
}

// backchannelLogout is where Mooring says that a session has ended, however it did.
func (app *application) backchannelLogout(w http.ResponseWriter, r *http.Request) {
	token, err := app.provider.Verifier(&oidc.Config{ClientID: app.config.ClientID}).Verify(r.Context(), r.FormValue("logout_token"))
	var claims struct {
		Sid    string
		Events map[string]json.RawMessage
	}
	if err == nil {
		err = token.Claims(&claims)
	}
	// An ID token has no events, and so never passes for a logout token.
	if _, ok := claims.Events["http://schemas.openid.net/event/backchannel-logout"]; err != nil || !ok {
		http.Error(w, fmt.Sprint("not a logout token: ", err), http.StatusBadRequest)
		return
	}
	app.visits.Range(func(id, found any) bool {
		if found.(*visit).sid == claims.Sid {
			app.visits.Delete(id)
		}
		return true
	})
}

// apiHello verifies signature, issuer, audience and expiry with the cached JWKS and asks nobody. An access token of an
// ended session therefore passes until it expires; an API that must not wait introspects instead.
func apiHello(provider *oidc.Provider) http.HandlerFunc {
	verifier := provider.Verifier(&oidc.Config{ClientID: api}) // the audience: this API, and not the issuer
	return func(w http.ResponseWriter, r *http.Request) {
		var claims struct{ Scope, Sid string }
		token, err := verifier.Verify(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if err == nil {
			err = token.Claims(&claims)
		}
		// An ID token has no scope, and so never passes for an access token.
		if err != nil || !slices.Contains(strings.Fields(claims.Scope), "greetings") {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			over(w, cmp.Or(err, errors.New("insufficient_scope")))
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"hello": token.Subject, "session": claims.Sid})
	}
}

func (app *application) visit(r *http.Request) *visit {
	if found, ok := app.visits.Load(cookie(r, "app")); ok {
		return found.(*visit)
	}
	return nil
}

func over(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	json.NewEncoder(w).Encode(map[string]string{"error": fmt.Sprint(err)})
}

func page(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><title>Application</title><h1>%s</h1>", html.EscapeString(text))
}

func cookie(r *http.Request, name string) string {
	if found, err := r.Cookie(name); err == nil {
		return found.Value
	}
	return ""
}

func setCookie(w http.ResponseWriter, name, value string) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
