//! deploy-examples
