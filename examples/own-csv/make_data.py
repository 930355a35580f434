"""Writes wine.csv: 178 wines of three cultivars, 13 measurements each, bundled with scikit-learn."""

from pathlib import Path

from sklearn.datasets import load_wine

if __name__ == "__main__":
    wine = load_wine(as_frame=True)
    table = wine.frame.assign(target=[f"cultivar {code}" for code in wine.target])
    table.to_csv(Path(__file__).with_name("wine.csv"), index=False)
