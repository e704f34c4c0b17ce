//! Servlet normalisation of a decoded URI path (security-relevant).
