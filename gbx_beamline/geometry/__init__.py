"""From detector pixels to momentum transfer: q-maps, q-ROIs as label images, and what to beware of in them."""

from __future__ import annotations

from gbx_beamline.geometry.maps import QMaps as QMaps
from gbx_beamline.geometry.maps import q_maps as q_maps
from gbx_beamline.geometry.rois import q_rois as q_rois
from gbx_beamline.geometry.rois import rois_from_config as rois_from_config
from gbx_beamline.geometry.settings import overlay as overlay

__all__ = ["QMaps", "overlay", "q_maps", "q_rois", "rois_from_config"]
