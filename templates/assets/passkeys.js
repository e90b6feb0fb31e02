// Passkeys: the buttons "use-passkey" and "add-passkey". A button names the two calls (data-options, data-finish); what
// else stands on it (data-csrf, data-request, …) goes with both, and so do a username and a label typed beside it.
(function () {
  "use strict";
  const use = document.getElementById("use-passkey");
  const add = document.getElementById("add-passkey");
  if (!(use || add) || !window.PublicKeyCredential || !navigator.credentials) {
    return;
  }
  const status = document.getElementById("passkey-status");
  let waiting = null; // The question behind the username field, which gives way to a button.

  class Refused extends Error {}

  function say(words, refused = false) {
    if (status) {
      status.textContent = words;
      status.classList.toggle("refused", refused);
    }
  }

  function bytes(text) {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(plain, (character) => character.charCodeAt(0));
  }

  function base64url(buffer) {
    const plain = String.fromCharCode(...new Uint8Array(buffer));
    return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  function described(list) {
    return (list || []).map((one) => ({ ...one, id: bytes(one.id) }));
  }

  function creation(options) {
    if (PublicKeyCredential.parseCreationOptionsFromJSON) {
      return PublicKeyCredential.parseCreationOptionsFromJSON(options);
    }
    return {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: described(options.excludeCredentials),
    };
  }

  function request(options) {
    if (PublicKeyCredential.parseRequestOptionsFromJSON) {
      return PublicKeyCredential.parseRequestOptionsFromJSON(options);
    }
    return {
      ...options,
      challenge: bytes(options.challenge),
      allowCredentials: described(options.allowCredentials),
    };
  }

  function written(credential) {
    if (credential.toJSON) {
      return credential.toJSON();
    }
    const response = { clientDataJSON: base64url(credential.response.clientDataJSON) };
    for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) {
        response[name] = base64url(credential.response[name]);
      }
    }
    if (credential.response.getTransports) {
      response.transports = credential.response.getTransports();
    }
    return {
      id: credential.id,
      rawId: base64url(credential.rawId),
      type: credential.type,
      response,
      clientExtensionResults: credential.getClientExtensionResults(),
    };
  }

  // What stands on the button, and what was typed beside it.
  function members(button) {
    const { options, finish, autofill, ...rest } = button.dataset;
    if (button === add) {
      for (const input of document.querySelectorAll("#username, #email, #passkey-label")) {
        rest[input.name] = input.value;
      }
    }
    return rest;
  }

  // The body of the answer; where it leads on, the browser goes there and nothing comes of this.
  async function call(address, body) {
    const answer = await fetch(address, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(body),
    });
    const said = await answer.json().catch(() => ({}));
    if (said.next) {
      window.location.assign(said.next);
      return new Promise(() => {});
    }
    if (!answer.ok) {
      throw new Refused(said.error_description || "That did not work. Please try again in a moment.");
    }
    return said;
  }

  async function ceremony(button, ask) {
    const said = await call(button.dataset.options, members(button));
    const credential = await ask(said.publicKey);
    await call(button.dataset.finish, { ...members(button), ceremony: said.ceremony, credential: written(credential) });
  }

  async function pressed(button, ask) {
    if (waiting) {
      waiting.abort();
      waiting = null;
    }
    button.disabled = true;
    say("Waiting for your passkey…");
    try {
      await ceremony(button, ask);
    } catch (error) {
      if (error instanceof Refused) {
        say(error.message, true);
      } else if (error.name === "InvalidStateError") {
        say("This device has a passkey of yours already.");
      } else if (error.name === "NotAllowedError" || error.name === "AbortError") {
        say("No passkey was used. Try again whenever you like.");
      } else {
        say("That did not work here. Please try again, or sign in another way.", true);
      }
      button.disabled = false;
    }
  }

  // Passkeys among the suggestions for the username.
  async function suggest(button) {
    if (!PublicKeyCredential.isConditionalMediationAvailable) {
      return;
    }
    if (!(await PublicKeyCredential.isConditionalMediationAvailable())) {
      return;
    }
    const mine = new AbortController();
    waiting = mine;
    // The server forgets the question after five minutes; the page may stand open for longer.
    const renewal = window.setTimeout(() => {
      mine.abort();
      if (waiting === mine) {
        suggest(button);
      }
    }, 240000);
    try {
      await ceremony(button, (options) => {
        mine.signal.throwIfAborted();
        return navigator.credentials.get({ publicKey: request(options), mediation: "conditional", signal: mine.signal });
      });
    } catch (error) {
      if (error instanceof Refused) {
        say(error.message, true);
        window.clearTimeout(renewal);
      }
    }
  }

  if (use) {
    use.addEventListener("click", () => {
      pressed(use, (options) => navigator.credentials.get({ publicKey: request(options) }));
    });
    if ("autofill" in use.dataset) {
      suggest(use);
    }
  }
  if (add) {
    add.addEventListener("click", () => {
      pressed(add, (options) => navigator.credentials.create({ publicKey: creation(options) }));
    });
  }
  for (const element of document.querySelectorAll(".passkey, .or")) {
    element.hidden = false;
  }
})();
