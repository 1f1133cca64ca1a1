-- Pages list a merchant's bank files and statements, newest first, with what each statement did.
CREATE INDEX ix_bank_files_merchant ON bank_files (merchant_id, id);
CREATE INDEX ix_bank_statements_merchant ON bank_statements (merchant_id, id);
CREATE INDEX ix_bank_statement_entries_statement ON bank_statement_entries (statement_id, kind);
