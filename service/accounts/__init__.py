"""Use cases on accounts and tokens: who acts, and what they may do. Plain functions; nothing here knows HTTP."""
