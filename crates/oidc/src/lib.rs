//! OpenID Connect over the network: discovery, key sets, and a development issuer.
