"""Subjects: loading a causal language model, naming its sites, reading and changing what passes there."""

from assay.model.default import default_model_dir
from assay.model.hooks import Edit
from assay.model.load import load
from assay.model.sitemap import SITE_MAPS
from assay.model.subject import Subject
from assay.model.twins import twin
from assay.model.validate import validate

__all__ = ["SITE_MAPS", "Edit", "Subject", "default_model_dir", "load", "twin", "validate"]
