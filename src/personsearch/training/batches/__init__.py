"""What a step of training sees: scenes, patches, sights of one person, or pairs of a scene and a query."""
