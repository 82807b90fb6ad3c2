//! deploy-monitor
