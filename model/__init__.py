"""The networks, their training and their scores. This room takes arrays and masks, and writes a run folder.

It knows no media and no corpus. The parts of the paper (BIG-FUSION, AAAI 2025) lie here:

======================================================== ==================================================
In the paper                                             In this room
======================================================== ==================================================
Figure 2, the whole network                              ``networks/bigfusion.py``
Eqs. 1-3, the contrast of two graphs                     ``contrast/losses.py``: ``contrastive_loss``
Eq. 4, attention over the whole dialogue                 ``layers/attention.py``: ``global_attention``
Eq. 5, attention within a sliding window                 ``layers/attention.py``: ``local_attention``
Eq. 6, both, weighed by alpha                            ``layers/attention.py``: ``DualAttention``
Eq. 7, spikes of Q, K and V                              ``layers/spiking.py``: ``RateCoding``
Eq. 8, one step of a neuron, the rising threshold        ``layers/rising_threshold.py``: ``RisingThresholdNode``
Eq. 9, information that survives a node's perturbation   ``contrast/information.py``
Eqs. 9, 10, dual importance of a node                    ``contrast/importance.py``: ``dual_importance``
After Eq. 10, the two views                              ``contrast/views.py``: ``view_weights``
Eq. 11, cross-entropy of the classifier                  ``layers/objectives.py``: ``classification_loss``
Eq. 12, both losses together                             ``networks/bigfusion.py``: ``BigFusion.loss``
The graph of a dialogue and its convolution              ``layers/graph.py``, ``layers/rgcn.py``
Table 4, Figures 3-5                                     ``reproduce/studies.py``
The paper's printed figures                              ``report/paper.py``
======================================================== ==================================================
"""

from bigfusion.model.late_imports import import_late

PUT_OFF = [import_late("torch_geometric.datasets"), import_late("numba")]
"""torch_geometric imports all of its parts at once: with its data sets transformers and more, with its personalised
PageRank a compiler (1.4 and 0.4 s of 7 that it takes to import a network), and no network uses either.
"""
