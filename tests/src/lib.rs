//! deploy-tests
