CREATE VIEW catalog.duplicates_near AS
SELECT d.image_id,
       d.other_id,
       d.likeness,
       d.distance,
       l.name AS label,
       ol.name AS other_label,
       i.split,
       o.split AS other_split
FROM (
    SELECT image_id, other_id, likeness, distance FROM pixref.near_duplicate
    UNION ALL
    SELECT other_id, image_id, likeness, distance FROM pixref.near_duplicate
) d
JOIN pixref.image i ON i.id = d.image_id AND i.state = 'READY'
JOIN pixref.image o ON o.id = d.other_id AND o.state = 'READY'
LEFT JOIN pixref.label l ON l.id = i.label_id
LEFT JOIN pixref.label ol ON ol.id = o.label_id;

COMMENT ON VIEW catalog.duplicates_near IS 'Pictures that look alike though their bytes differ: other sizes, other compressions, small changes. Each pair has two rows, one for each of its pictures.';
COMMENT ON COLUMN catalog.duplicates_near.image_id IS 'The picture.';
COMMENT ON COLUMN catalog.duplicates_near.other_id IS 'One that looks like it.';
COMMENT ON COLUMN catalog.duplicates_near.likeness IS 'Correlation of their thumbnails'' gray levels, 0.98 to 1.';
COMMENT ON COLUMN catalog.duplicates_near.distance IS 'How many of the 64 bits of their perceptual hashes differ, 0 to 3.';
COMMENT ON COLUMN catalog.duplicates_near.label IS 'What the picture shows; NULL: not labelled.';
COMMENT ON COLUMN catalog.duplicates_near.other_label IS 'What the other one shows; NULL: not labelled.';
COMMENT ON COLUMN catalog.duplicates_near.split IS 'The split of the picture.';
COMMENT ON COLUMN catalog.duplicates_near.other_split IS 'The split of the other one: a pair across train and test makes a test result better than it is.';
