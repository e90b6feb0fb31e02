// A public client: PKCE, no secret, no server of its own. It never uses an iframe.
import { UserManager } from 'oidc-client-ts'

const here = location.origin + '/'
const manager = new UserManager({
  authority: 'http://localhost:8080',
  client_id: 'spa',
  redirect_uri: here,
  popup_redirect_uri: here,
  post_logout_redirect_uri: here,
  scope: 'openid profile email',
  loadUserInfo: true, // name and email are userinfo's to tell; the ID token says who signed in and how
  automaticSilentRenew: true, // by refresh token, since there is one
  accessTokenExpiringNotificationTimeInSeconds: 10,
  revokeTokensOnSignout: true, // sign-out ends them anyway, with the session they hang on
  monitorSession: false, // the session-management iframe is not there: browsers block what it needs
})

manager.events.addUserLoaded(show)
manager.events.addUserUnloaded(() => show(null))
// invalid_grant: the session at Mooring is over, and with it the one here.
manager.events.addSilentRenewError((error) => over(error))

document.querySelector('#sign-in').onclick = () => manager.signinRedirect()
document.querySelector('#pop-up').onclick = () => manager.signinPopup().catch(log)
document.querySelector('#sign-out').onclick = () => manager.signoutRedirect()
document.querySelector('#me').onclick = me
document.querySelector('#renew').onclick = renew

if (new URLSearchParams(location.search).has('state')) {
  // Back from Mooring, with a code or an error, or from its sign-out.
  const back = new URLSearchParams(location.search).has('iss')
  const done = back ? manager.signinCallback() : manager.signoutCallback()
  await done.catch((error) => log(error))
  history.replaceState(null, '', here)
}
show(await manager.getUser())

// What an application does with its access token: here it asks for userinfo.
async function me() {
  const user = await manager.getUser()
  const answer = await fetch(await manager.metadataService.getUserInfoEndpoint(), {
    headers: { authorization: `Bearer ${user?.access_token}` },
  })
  if (answer.ok) log(JSON.stringify(await answer.json()))
  else await over(answer.headers.get('www-authenticate'))
}

// Five parts of a page that find the token expired at the same time: all are answered, none is taken for a thief.
async function renew() {
  const users = await Promise.allSettled(Array.from({ length: 5 }, () => manager.signinSilent()))
  log(`renewed: ${users.filter((user) => user.value).length} of ${users.length}`)
}

async function over(error) {
  log(`refused: ${error}`)
  await manager.removeUser()
}

function show(user) {
  document.querySelector('#who').textContent = user ? `Hello ${user.profile.name}` : 'Nobody is signed in'
  if (user) log(`tokens, good for ${user.expires_in} s`)
}

function log(line) {
  document.querySelector('#log').append(`${line}\n`)
}
