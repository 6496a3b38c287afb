"""Many runs: what they have in common, in what they differ, and which setting is the best.

`aimodels report DIR...` reads any work folders into runs (`runs`), compares them as is the field's
practice for few seeds (`statistics`, `importance`) and writes a page, a CSV and a Parquet file.
"""
