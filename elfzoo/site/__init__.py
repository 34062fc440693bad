"""Pages that need no network: the leaderboard, and a viewer of anyone's field."""

from elfzoo.site.build import build_site
from elfzoo.site.view import view_page

__all__ = ["build_site", "view_page"]
