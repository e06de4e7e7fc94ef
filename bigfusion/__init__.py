"""bigfusion: from raw conversations to an honestly scored emotion model.

The rooms lie at the top of the repository (``pipeline/``, ``extractors/``, ``model/``, ``flows/``) and are reached from
here by links, so that what is installed has one name: ``bigfusion.pipeline``, ``bigfusion.model`` and so on.
"""
