CREATE VIEW catalog.image_metadata AS
SELECT i.id AS image_id,
       CASE i.color_type WHEN 0 THEN 'gray' WHEN 2 THEN 'rgb' WHEN 3 THEN 'palette' WHEN 4 THEN 'gray+alpha' WHEN 6 THEN 'rgba' END AS color_type,
       (i.png ->> 'palette_size')::integer AS palette_size,
       coalesce((i.png ->> 'interlaced')::boolean, false) AS interlaced,
       coalesce((i.png ->> 'frames')::bigint > 1, false) AS animated,
       (i.png ->> 'frames')::bigint AS frames,
       (i.png ->> 'gamma')::double precision AS gamma,
       i.png ->> 'srgb' AS srgb_intent,
       i.png ->> 'icc_profile' AS icc_profile,
       (i.png -> 'pixels_per_metre' ->> 0)::double precision * 0.0254 AS dpi_x,
       (i.png -> 'pixels_per_metre' ->> 1)::double precision * 0.0254 AS dpi_y,
       (i.png -> 'pixel_aspect' ->> 0)::double precision / (i.png -> 'pixel_aspect' ->> 1)::double precision AS pixel_aspect,
       (i.png ->> 'modified')::timestamptz AS modified_at,
       coalesce(i.png -> 'text', '{}') AS text,
       i.taken_at,
       -- Offsets of more than 16 hours occur in files, and timestamptz refuses them.
       (left(i.exif ->> 'digitized', 19)::timestamp - coalesce(nullif(substr(i.exif ->> 'digitized', 20), ''), '0')::interval)
           AT TIME ZONE 'UTC' AS digitized_at,
       i.exif ->> 'camera_make' AS camera_make,
       i.exif ->> 'camera_model' AS camera_model,
       i.exif ->> 'lens_model' AS lens_model,
       i.exif ->> 'software' AS software,
       (i.exif ->> 'orientation')::integer AS orientation,
       (i.exif ->> 'exposure_s')::double precision AS exposure_s,
       (i.exif ->> 'f_number')::double precision AS f_number,
       (i.exif ->> 'focal_length_mm')::double precision AS focal_length_mm,
       (i.exif ->> 'iso')::bigint AS iso,
       i.exif
FROM pixref.image i
WHERE i.state = 'READY';

COMMENT ON VIEW catalog.image_metadata IS 'What the file itself says, in its PNG chunks and its EXIF block: one row a picture. The camera''s position is never kept.';
COMMENT ON COLUMN catalog.image_metadata.image_id IS 'The picture.';
COMMENT ON COLUMN catalog.image_metadata.color_type IS 'How the file stores colour: gray, rgb, palette, gray+alpha or rgba.';
COMMENT ON COLUMN catalog.image_metadata.palette_size IS 'Colours in its palette; NULL without one.';
COMMENT ON COLUMN catalog.image_metadata.interlaced IS 'Whether it is stored in passes (Adam7).';
COMMENT ON COLUMN catalog.image_metadata.animated IS 'Whether it is an animation (APNG); everything else is about its first image.';
COMMENT ON COLUMN catalog.image_metadata.frames IS 'Frames of the animation; NULL for a still picture.';
COMMENT ON COLUMN catalog.image_metadata.gamma IS 'Gamma of the file (gAMA), such as 0.45455.';
COMMENT ON COLUMN catalog.image_metadata.srgb_intent IS 'Rendering intent where the file says that it is sRGB.';
COMMENT ON COLUMN catalog.image_metadata.icc_profile IS 'Name of its colour profile.';
COMMENT ON COLUMN catalog.image_metadata.dpi_x IS 'Pixels an inch, across, where the file gives a physical size (pHYs).';
COMMENT ON COLUMN catalog.image_metadata.dpi_y IS 'Pixels an inch, down.';
COMMENT ON COLUMN catalog.image_metadata.pixel_aspect IS 'Pixels across a unit over pixels down it, where the file gives a ratio and no size; 1 is square.';
COMMENT ON COLUMN catalog.image_metadata.modified_at IS 'When the file says it was last changed (tIME).';
COMMENT ON COLUMN catalog.image_metadata.text IS 'Its text chunks: keyword to text; {} without any.';
COMMENT ON COLUMN catalog.image_metadata.taken_at IS 'When the camera says it was taken (EXIF); without a zone in the file, as if in UTC.';
COMMENT ON COLUMN catalog.image_metadata.digitized_at IS 'When it was digitized (EXIF); without a zone in the file, as if in UTC.';
COMMENT ON COLUMN catalog.image_metadata.camera_make IS 'Maker of the camera (EXIF).';
COMMENT ON COLUMN catalog.image_metadata.camera_model IS 'The camera (EXIF).';
COMMENT ON COLUMN catalog.image_metadata.lens_model IS 'The lens (EXIF).';
COMMENT ON COLUMN catalog.image_metadata.software IS 'What wrote the picture (EXIF).';
COMMENT ON COLUMN catalog.image_metadata.orientation IS 'How to turn it, 1 to 8 (EXIF); width and height are before turning.';
COMMENT ON COLUMN catalog.image_metadata.exposure_s IS 'Exposure in seconds (EXIF).';
COMMENT ON COLUMN catalog.image_metadata.f_number IS 'Aperture (EXIF).';
COMMENT ON COLUMN catalog.image_metadata.focal_length_mm IS 'Focal length in millimetres (EXIF).';
COMMENT ON COLUMN catalog.image_metadata.iso IS 'Sensitivity (EXIF).';
COMMENT ON COLUMN catalog.image_metadata.exif IS 'All that is kept of EXIF, as JSON, dates as the file writes them.';
