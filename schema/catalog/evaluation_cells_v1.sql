CREATE VIEW catalog.evaluation_cells AS
SELECT evaluation_id, label, predicted, pictures
FROM pixref.evaluation_cell;

COMMENT ON VIEW catalog.evaluation_cells IS 'The confusion matrix of each evaluation: one row for each cell that is not empty.';
COMMENT ON COLUMN catalog.evaluation_cells.evaluation_id IS 'Number of the evaluation.';
COMMENT ON COLUMN catalog.evaluation_cells.label IS 'What the pictures show.';
COMMENT ON COLUMN catalog.evaluation_cells.predicted IS 'What the version made of them.';
COMMENT ON COLUMN catalog.evaluation_cells.pictures IS 'How many there are.';
