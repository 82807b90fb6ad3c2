//! deploy-bridge
