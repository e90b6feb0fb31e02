// A web application whose people sign in at Mooring. It has no secret: it signs with a key of its own.
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import * as oidc from 'openid-client'

const issuer = new URL(process.env.ISSUER ?? 'http://localhost:8080')
const here = new URL(process.env.HERE ?? 'http://127.0.0.1:3000')

// private_key_jwt: Mooring fetches the public half from /jwks.json, and again when it meets a new kid.
const kid = randomUUID()
const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])
const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', keys.publicKey)

const config = await oidc.discovery(issuer, 'node-app', {}, oidc.PrivateKeyJwt({ key: keys.privateKey, kid }), {
  execute: issuer.protocol === 'http:' ? [oidc.allowInsecureRequests] : [], // http is for localhost only
})

const jwks = createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri))

const signedIn = new Map() // of this application: cookie → { tokens, claims, sid }
const waiting = new Map() // sign-ins on their way: state → what the answer must fit

const routes = {
  '/': (request, visit) => (visit ? page(`Hello ${visit.claims.name}`) : seeOther('/sign-in')),

  '/sign-in': async () => {
    const state = oidc.randomState()
    const [verifier, nonce] = [oidc.randomPKCECodeVerifier(), oidc.randomNonce()]
    waiting.set(state, { pkceCodeVerifier: verifier, expectedNonce: nonce, expectedState: state })
    const url = oidc.buildAuthorizationUrl(config, {
      redirect_uri: new URL('/callback', here).href,
      scope: 'openid profile email',
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    })
    return seeOther(url.href, `waiting=${state}; HttpOnly; SameSite=Lax; Path=/`)
  },

  '/callback': async (request) => {
    // The cookie says that the answer came to the browser that asked.
    const state = cookie(request, 'waiting')
    const checks = waiting.get(state)
    waiting.delete(state)
    if (!checks) return page('This sign-in is over, begin again', 400)
    const tokens = await oidc.authorizationCodeGrant(config, new URL(request.url, here), checks)
    // The ID token says who signed in and how (sub, sid, acr, auth_time); name and email are userinfo's to tell.
    const claims = await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)
    const id = randomUUID()
    signedIn.set(id, { ...withExpiry(tokens), claims, sid: tokens.claims().sid })
    return seeOther('/', `app=${id}; HttpOnly; SameSite=Lax; Path=/`)
  },

  // What an application does with its tokens: here it asks for userinfo.
  '/me': async (request, visit) => {
    if (!visit) return json({ error: 'not signed in' }, 401)
    if (visit.expiresAt < Date.now()) {
      // Several requests may do this at the same time: within refresh_grace they all get the same successor.
      Object.assign(visit, withExpiry(await oidc.refreshTokenGrant(config, visit.tokens.refresh_token)))
    }
    return json(await oidc.fetchUserInfo(config, visit.tokens.access_token, visit.claims.sub))
  },

  '/sign-out': (request, visit) => {
    if (!visit) return seeOther('/bye')
    signedIn.delete(cookie(request, 'app'))
    const url = oidc.buildEndSessionUrl(config, {
      id_token_hint: visit.tokens.id_token,
      post_logout_redirect_uri: new URL('/bye', here).href,
    })
    return seeOther(url.href)
  },

  // Mooring says that a session has ended, however it did.
  '/backchannel-logout': async (request) => {
    const form = new URLSearchParams(await text(request))
    const { payload } = await jwtVerify(form.get('logout_token') ?? '', jwks, {
      issuer: config.serverMetadata().issuer,
      audience: 'node-app',
      typ: 'logout+jwt',
      requiredClaims: ['sid', 'jti', 'events'],
    })
    for (const [id, visit] of signedIn) if (visit.sid === payload.sid) signedIn.delete(id)
    return json({})
  },

  '/bye': () => page('You are signed out'),
  '/jwks.json': () => json({ keys: [{ kty, crv, x, y, kid, use: 'sig', alg: 'ES256' }] }),
}

createServer(async (request, response) => {
  const id = cookie(request, 'app')
  let answer
  try {
    const route = routes[new URL(request.url, here).pathname]
    answer = route ? await route(request, signedIn.get(id)) : page('There is nothing here', 404)
  } catch (error) {
    // invalid_grant, or a Bearer challenge: the session at Mooring is over, and with it the one here.
    const over = error.error === 'invalid_grant' || error.status === 401
    if (over) signedIn.delete(id)
    else console.error(error)
    answer = json({ error: error.error ?? error.code, message: error.message }, over ? 401 : 400)
  }
  response.writeHead(answer.status, answer.headers).end(answer.body)
}).listen(here.port, here.hostname)

function withExpiry(tokens) {
  return { tokens, expiresAt: Date.now() + tokens.expiresIn() * 1000 }
}

function cookie(request, name) {
  return request.headers.cookie?.match(new RegExp(`(?:^|; )${name}=([^;]*)`))?.[1]
}

function seeOther(location, cookie) {
  return { status: 303, headers: { location, ...(cookie && { 'set-cookie': cookie }) } }
}

function page(text, status = 200) {
  const escaped = text.replace(/[&<]/g, (c) => `&#${c.charCodeAt(0)};`)
  const body = `<!doctype html><title>Application</title><h1>${escaped}</h1>`
  return { status, headers: { 'content-type': 'text/html; charset=utf-8' }, body }
}

function json(value, status = 200) {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) }
}
