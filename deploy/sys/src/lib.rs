//! deploy-sys
